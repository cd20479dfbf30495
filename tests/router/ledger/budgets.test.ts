import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Complexity, ServedModel, Tier, Usage } from '../../../proto/gen/infermesh/v1/types.ts';
import { ExplorationBudget } from '../../../router/ledger/exploration.ts';
import { billOf, billOfPart, referenceCost, strongest } from '../../../router/ledger/savings.ts';
import { ModelShares } from '../../../router/ledger/shares.ts';

describe('the budget for exploration', () => {
  const share = fc.double({ min: 0, max: 1, noNaN: true });

  it('never permits more deviations than share x choices + 1, whatever is asked', () => {
    fc.assert(
      fc.property(share, fc.array(fc.boolean(), { maxLength: 300 }), (share, wishes) => {
        const budget = new ExplorationBudget();
        let explored = 0;
        wishes.forEach((wish, i) => {
          const explores = wish && budget.may('t', share);
          budget.spent('t', share, explores);
          if (explores) explored++;
          expect(explored).toBeLessThanOrEqual(share * (i + 1) + 1 + 1e-6);
        });
      }),
    );
  });

  it('permits as many as the share to who always wants to', () => {
    const budget = new ExplorationBudget();
    let explored = 0;
    for (let i = 0; i < 1000; i++) {
      const explores = budget.may('t', 0.1);
      budget.spent('t', 0.1, explores);
      if (explores) explored++;
    }
    expect(explored).toBe(100);
  });

  it('of nothing permits nothing, also to who has saved up', () => {
    const budget = new ExplorationBudget();
    for (let i = 0; i < 100; i++) budget.spent('t', 0.5, false);
    expect(budget.may('t', 0)).toBe(false);
    expect(budget.may('t', 0.5)).toBe(true);
  });

  it('saves up for ten deviations and no more', () => {
    const budget = new ExplorationBudget();
    for (let i = 0; i < 1000; i++) budget.spent('t', 1, false);
    let explored = 0;
    while (budget.may('t', 0.0001)) {
      budget.spent('t', 0.0001, true);
      explored++;
    }
    expect(explored).toBe(10);
  });

  it('is of each tenant, of whoever has no name too, and forgets the least recent', () => {
    const budget = new ExplorationBudget({ maxTenants: 2 });
    budget.spent(undefined, 0.1, true);
    expect([budget.may(undefined, 0.1), budget.may('', 0.1), budget.may('acme', 0.1)]).toEqual([false, true, true]);
    budget.spent('acme', 0.1, true);
    budget.spent('other', 0.1, true);
    expect([budget.may(undefined, 0.1), budget.may('acme', 0.1), budget.may('other', 0.1)]).toEqual([true, false, false]);
  });
});

const model = (name: string, more: Partial<ServedModel> = {}) => ServedModel.fromPartial({ name, ...more });
const price = (output: number) => ({ inputUsdPerMillion: output / 2, outputUsdPerMillion: output });
const TERMS = { reference: undefined, usdPerKwh: 0.3 };
const USAGE = { inputTokens: 1000, outputTokens: 500 };

describe('what an answer cost', () => {
  it('is tokens x price, else power x the time that the tokens take', () => {
    const rates = { prefillTokensPerSecond: 100, decodeTokensPerSecond: 10 };
    expect(billOf(model('a', { price: price(2), watts: 100, ...rates }), USAGE, 0.3)).toBeCloseTo(0.001 + 0.001, 12);
    // 60 s at 100 W; time is counted in steps of a tenth.
    const minute = billOf(model('a', { watts: 100, ...rates }), USAGE, 0.3) / ((0.1 * 60 * 0.3) / 3600);
    expect(minute).toBeGreaterThan(0.9);
    expect(minute).toBeLessThan(1.1);
    expect(billOf(model('a'), USAGE, 0.3)).toBe(0);
  });

  it('is its prompt and what came of it where it broke off, and all that was expected where the provider goes on', () => {
    const expected = { promptTokens: 1000, expectedOutputTokens: 500 };
    const [stops, charges] = [false, true].map((billsAfterDisconnect) => model('a', { price: price(2), billsAfterDisconnect }));
    const of = (one = stops, tokens = 0, goesOn = true) => billOfPart(one as ServedModel, expected, tokens, goesOn, 0.3) * 1e6;
    expect([of(stops), of(stops, 200)]).toEqual([0, 1000 + 400]);
    expect([of(charges), of(charges, 200), of(charges, 700)]).toEqual([2000, 2000, 1000 + 1400]);
    expect([of(charges, 0, false), of(charges, 200, false)]).toEqual([0, 1400]);
  });

  it('is compared with the reference model where it could have answered, else with the strongest that could', () => {
    const small = model('small', { tier: Tier.TIER_FAST, price: price(1) });
    const middle = model('middle', { tier: Tier.TIER_BALANCED, price: price(3) });
    const large = model('large', { tier: Tier.TIER_QUALITY, price: price(8) });
    const all = [small, middle, large];
    expect(referenceCost(small, 0.001, USAGE, all, TERMS)).toBeCloseTo(0.008, 12);
    expect(referenceCost(small, 0.001, USAGE, all, { ...TERMS, reference: 'middle' })).toBeCloseTo(0.003, 12);
    expect(referenceCost(small, 0.001, USAGE, [small, middle], { ...TERMS, reference: 'large' })).toBeCloseTo(0.003, 12);
  });

  it('is its own reference where the reference model answered, or nobody else could', () => {
    const large = model('large', { tier: Tier.TIER_QUALITY, price: price(8) });
    expect(referenceCost(large, 0.0123, USAGE, [model('small'), large], TERMS)).toBe(0.0123);
    expect(referenceCost(large, 0.0123, USAGE, [], { ...TERMS, reference: 'gone' })).toBe(0.0123);
  });

  it('of a reference without a price follows from its measured rates', () => {
    const rates = { prefillTokensPerSecond: 100, decodeTokensPerSecond: 10 };
    const large = model('large', { tier: Tier.TIER_QUALITY, watts: 500, ...rates });
    const expected = (0.5 * (10 + 50) * 0.3) / 3600;
    const real = referenceCost(model('small'), 0, USAGE, [large], TERMS);
    expect(real / expected).toBeGreaterThan(0.9);
    expect(real / expected).toBeLessThan(1.1);
  });

  it('finds the same strongest in any order', () => {
    const models = [
      model('a', { tier: 2, price: price(9) }),
      model('b', { tier: 3, price: price(1) }),
      model('c', { tier: 3, price: price(2), sizeBytes: 5 }),
      model('d', { tier: 3, price: price(2), sizeBytes: 7 }),
      model('e', { tier: 3, price: price(2), sizeBytes: 7 }),
    ];
    fc.assert(
      fc.property(fc.shuffledSubarray(models, { minLength: models.length }), (some) => {
        expect(strongest(some as [ServedModel, ...ServedModel[]]).name).toBe('d');
      }),
    );
  });
});

describe('the shares of models', () => {
  const usage = Usage.fromPartial({ inputTokens: 10, outputTokens: 5, cachedInputTokens: 4 });
  const small = { model: 'small', tier: Tier.TIER_FAST };
  const large = { model: 'large', tier: Tier.TIER_QUALITY };

  it('count what was chosen, finished, used, spent and earned, the most used model first', () => {
    const shares = new ModelShares();
    shares.chosen(large, 'complex', true);
    shares.chosen(small, 'simple', false);
    shares.chosen(small, 'complex', false);
    shares.finished(small, usage, 0.25, 1);
    shares.finished(large, usage, 1, 1);
    shares.rewarded(small, 0.5, undefined);
    shares.rewarded(small, 1, undefined);
    shares.rewarded(small, 0.75, 0.5);
    shares.rated();
    expect(shares.figures()).toEqual({
      models: [
        {
          ...{ model: 'small', tier: Tier.TIER_FAST, chosen: 2, finished: 1, costUsd: 0.25, referenceUsd: 1, reward: 0.875 },
          ...{ inputTokens: 10, cachedInputTokens: 4, outputTokens: 5 },
        },
        {
          ...{ model: 'large', tier: Tier.TIER_QUALITY, chosen: 1, finished: 1, costUsd: 1, referenceUsd: 1, reward: 0 },
          ...{ inputTokens: 10, cachedInputTokens: 4, outputTokens: 5 },
        },
      ],
      complexities: [
        { complexity: Complexity.COMPLEXITY_SIMPLE, requests: 1, tiers: [{ tier: Tier.TIER_FAST, requests: 1 }] },
        {
          complexity: Complexity.COMPLEXITY_COMPLEX,
          requests: 2,
          tiers: [
            { tier: Tier.TIER_FAST, requests: 1 },
            { tier: Tier.TIER_QUALITY, requests: 1 },
          ],
        },
      ],
      costUsd: 1.25,
      referenceUsd: 2,
      explored: 1,
      feedbacks: 1,
    });
  });

  it('have what was paid for an answer that broke off, of which nothing was saved', () => {
    const shares = new ModelShares();
    shares.chosen(large, 'complex', false);
    shares.finished(large, usage, 1, 3);
    shares.brokenOff(large, 0.5);
    const { models, costUsd, referenceUsd } = shares.figures();
    expect({ costUsd, referenceUsd }).toEqual({ costUsd: 1.5, referenceUsd: 3.5 });
    expect(models).toMatchObject([{ finished: 1, outputTokens: 5, costUsd: 1.5, referenceUsd: 3.5 }]);
  });

  it('stay bounded however many names nodes make up', () => {
    const shares = new ModelShares();
    for (let i = 0; i < 3000; i++) shares.chosen({ model: `m${i}`, tier: 1 }, 'simple', false);
    const { models } = shares.figures();
    expect(models).toHaveLength(1001);
    expect(models[0]).toMatchObject({ model: '(others)', chosen: 2000 });
  });
});
