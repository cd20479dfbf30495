import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Comparison, Sample } from '../../../router/ledger/counterfactual.ts';
import { compare, effectiveSize } from '../../../router/ledger/counterfactual.ts';
import { seeded } from '../../support/clock.ts';

/** A world in which the truth is known: four kinds of prompt, three models, rewards of 0 or 1. */
const MODELS = ['small', 'middle', 'large'] as const;
const TRUE_REWARD = [
  [0.9, 0.92, 0.95],
  [0.6, 0.75, 0.9],
  [0.3, 0.5, 0.85],
  [0.7, 0.4, 0.8],
] as const;
/** What the router expects: wrong by the model, and unable to tell the last two kinds well apart. */
const EXPECTED = [
  [0.8, 0.85, 0.7],
  [0.5, 0.7, 0.7],
  [0.3, 0.4, 0.6],
  [0.5, 0.4, 0.6],
] as const;
const LOGGING = [
  [0.7, 0.2, 0.1],
  [0.2, 0.6, 0.2],
  [0.1, 0.3, 0.6],
  [0.4, 0.4, 0.2],
] as const;
const TARGET = [
  [0.95, 0.05, 0],
  [0.7, 0.2, 0.1],
  [0, 0.2, 0.8],
  [0.1, 0, 0.9],
] as const;

const TRUTH = rewardOf(TARGET);
const LOGGED_TRUTH = rewardOf(LOGGING);

function rewardOf(policy: readonly (readonly number[])[]): number {
  return mean(policy.map((row, kind) => row.reduce((sum, p, model) => sum + p * TRUE_REWARD[kind]![model]!, 0)));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

const spread = (values: readonly number[]) => Math.sqrt(mean(values.map((value) => (value - mean(values)) ** 2)));

function world(seed: number, decisions: number): Sample[] {
  const random = seeded(seed);
  return Array.from({ length: decisions }, () => {
    const kind = Math.floor(random() * 4);
    const u = random();
    const logging = LOGGING[kind]!;
    const model = u < logging[0] ? 0 : u < logging[0] + logging[1] ? 1 : 2;
    const action = (index: number) => ({ model: MODELS[index]!, expected: EXPECTED[kind]![index]! });
    return {
      weight: TARGET[kind]![model]! / logging[model]!,
      observed: Number(random() < TRUE_REWARD[kind]![model]!),
      chosen: action(model),
      target: MODELS.map((_, index) => ({ ...action(index), probability: TARGET[kind]![index]! })),
    };
  });
}

const runs = Array.from({ length: 400 }, (_, seed) => compare(world(seed, 400), 'difference') as Comparison);
const estimators = ['ips', 'snips', 'doublyRobust'] as const;

describe('in a world where the truth is known', () => {
  it.each(estimators)('the interval of %s covers it about 95 times in 100', (name) => {
    const covered = runs.filter((run) => run[name].low <= TRUTH && TRUTH <= run[name].high).length;
    expect(covered / runs.length).toBeGreaterThan(0.925);
    expect(covered / runs.length).toBeLessThan(0.975);
  });

  it('the interval of the change, decision by decision, covers the true one', () => {
    const truth = TRUTH - LOGGED_TRUTH;
    const covered = runs.filter(({ change }) => change.low <= truth && truth <= change.high).length;
    expect(covered / runs.length).toBeGreaterThan(0.925);
    expect(covered / runs.length).toBeLessThan(0.975);
  });

  it.each(estimators)('%s is right on the average', (name) => {
    const values = runs.map((run) => run[name].value);
    expect(Math.abs(mean(values) - TRUTH)).toBeLessThan((4 * spread(values)) / Math.sqrt(values.length));
  });

  it('the plain mean of the log is not the answer', () => {
    expect(Math.abs(mean(runs.map(({ logged }) => logged.value)) - TRUTH)).toBeGreaterThan(0.04);
  });

  it('doubly robust scatters less than self-normalised, and that less than plain', () => {
    const [ips, snips, robust] = estimators.map((name) => spread(runs.map((run) => run[name].value))) as [number, number, number];
    expect(snips).toBeLessThan(0.75 * ips);
    expect(robust).toBeLessThan(snips);
  });

  it('doubly robust is right with expectations that are worth nothing, by the propensities', () => {
    const blind = ({ model }: { model: string }) => ({ model, expected: 0.5 });
    const values = Array.from({ length: 200 }, (_, seed) => {
      const samples = world(seed, 400).map((sample) => ({
        ...sample,
        chosen: blind(sample.chosen),
        target: sample.target.map((action) => ({ ...action, ...blind(action) })),
      }));
      return compare(samples, 'difference')!.doublyRobust.value;
    });
    expect(Math.abs(mean(values) - TRUTH)).toBeLessThan((4 * spread(values)) / Math.sqrt(values.length));
  });

  it('doubly robust is right with wrong propensities, by the expectations', () => {
    const values = Array.from({ length: 200 }, (_, seed) => {
      const knowing = world(seed, 400).map((sample) => ({ ...sample, weight: sample.weight * 1.5 }));
      // Expectations that are the truth, found back by their kind.
      const kindOf = ({ target }: Sample) => TARGET.findIndex((row) => row.every((p, i) => target[i]!.probability === p));
      const samples = knowing.map((sample) => {
        const truth = ({ model }: { model: string }) => ({
          model,
          expected: TRUE_REWARD[kindOf(sample)]![MODELS.indexOf(model as never)]!,
        });
        return { ...sample, chosen: truth(sample.chosen), target: sample.target.map((one) => ({ ...one, ...truth(one) })) };
      });
      return compare(samples, 'difference')!;
    });
    expect(Math.abs(mean(values.map(({ doublyRobust }) => doublyRobust.value)) - TRUTH)).toBeLessThan(0.01);
    expect(Math.abs(mean(values.map(({ ips }) => ips.value)) - TRUTH)).toBeGreaterThan(0.2);
  });
});

describe('costs, which range over orders of magnitude', () => {
  it('are corrected by ratio: a model that always costs twice what was expected is expected to', () => {
    const random = seeded(3);
    const samples = Array.from({ length: 400 }, (): Sample => {
      const tokens = Math.exp(3 * random());
      const dear = random() < 0.2;
      const cheap = { model: 'cheap', expected: tokens };
      const costly = { model: 'dear', expected: 10 * tokens };
      return {
        weight: dear ? 5 : 0,
        observed: dear ? 20 * tokens : tokens,
        chosen: dear ? costly : cheap,
        target: [{ ...costly, probability: 1 }],
      };
    });
    const { doublyRobust, ips } = compare(samples, 'ratio')!;
    const truth = mean(samples.map(({ target }) => 2 * target[0]!.expected));
    expect(doublyRobust.value / truth).toBeCloseTo(1, 1);
    expect(doublyRobust.high - doublyRobust.low).toBeLessThan(0.6 * (ips.high - ips.low));
  });
});

const unit = fc.double({ min: 0, max: 1, noNaN: true });
const anySamples = fc.array(
  fc
    .record({
      weight: fc.double({ min: 0.01, max: 20, noNaN: true }),
      observed: unit,
      expected: unit,
      model: fc.constantFrom('a', 'b'),
    })
    .map(
      ({ weight, observed, expected, model }): Sample => ({
        weight,
        observed,
        chosen: { model, expected },
        target: [{ model, expected, probability: 1 }],
      }),
    ),
  { minLength: 2, maxLength: 40 },
);

describe('the estimators', () => {
  it('self-normalised and doubly robust move by as much as all figures are moved', () => {
    fc.assert(
      fc.property(anySamples, unit, (samples, shift) => {
        const moved = samples.map((sample) => ({ ...sample, observed: sample.observed + shift }));
        const [before, after] = [compare(samples, 'difference')!, compare(moved, 'difference')!];
        expect(after.snips.value).toBeCloseTo(before.snips.value + shift, 9);
        expect(after.doublyRobust.value).toBeCloseTo(before.doublyRobust.value + shift, 9);
      }),
    );
  });

  it('of the policy that wrote the log are the plain mean', () => {
    fc.assert(
      fc.property(anySamples, (samples) => {
        const same = compare(
          samples.map((sample) => ({ ...sample, weight: 1 })),
          'difference',
        )!;
        expect(same.ips).toEqual(same.logged);
        expect(same.snips.value).toBeCloseTo(same.logged.value, 9);
        expect(same.doublyRobust.value).toBeCloseTo(same.logged.value, 9);
        expect(same.change.value).toBeCloseTo(0, 9);
      }),
    );
  });

  it('tell nothing from a single decision', () => {
    expect(compare(world(1, 1), 'ratio')).toBeUndefined();
    expect(compare([], 'ratio')).toBeUndefined();
  });
});

describe('the effective sample size', () => {
  it('is the number of decisions when all weigh the same, and 1 when one weighs all', () => {
    expect(effectiveSize([2, 2, 2, 2]).size).toBeCloseTo(4);
    expect(effectiveSize([0, 0, 7, 0]).size).toBeCloseTo(1);
    expect(effectiveSize([0, 0]).size).toBe(0);
    expect(effectiveSize([]).size).toBe(0);
  });

  it('is never more than the number of decisions, and the weights of a log that tried everything are 1 in the mean', () => {
    fc.assert(
      fc.property(anySamples, (samples) => {
        const { size } = effectiveSize(samples.map(({ weight }) => weight));
        expect(size).toBeLessThanOrEqual(samples.length * (1 + 1e-9));
      }),
    );
    const { meanWeight } = effectiveSize(world(5, 5000).map(({ weight }) => weight));
    expect(meanWeight!.low).toBeLessThan(1);
    expect(meanWeight!.high).toBeGreaterThan(1);
  });
});
