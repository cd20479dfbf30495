import { describe, expect, it } from 'vitest';
import { Price, Tier } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Task } from '../../../router/classify/classification.ts';
import { estimate, onGrid } from '../../../router/select/estimate.ts';
import { costOf, judge, viewOf } from '../../../router/select/objectives.ts';
import { priorQuality } from '../../../router/select/prior.ts';
import { suitability } from '../../../router/select/suitability.ts';
import { ask, beliefs, candidate, classification, knowledge, unknowing } from './builders.ts';

const modelOf = (more: Parameters<typeof candidate>[1]) => candidate('n', more).model;

describe('the cost of an answer', () => {
  const price = Price.fromPartial({ inputUsdPerMillion: 2, outputUsdPerMillion: 10 });

  it('is tokens by price', () => {
    const model = modelOf({ price, watts: 500 });
    expect(costOf(model, { promptTokens: 1000, expectedOutputTokens: 300 }, 1e6, 0.3)).toBeCloseTo((2000 + 3000) / 1e6, 12);
  });

  it('is power by the time of the engine where there is no price', () => {
    const free = modelOf({ watts: 100, price: Price.fromPartial({}) });
    // 100 W for 8,192 ms at $0.30 a kWh.
    expect(costOf(free, ask(), 8192, 0.3)).toBeCloseTo((0.1 * 8.192 * 0.3) / 3600, 12);
    expect(costOf(modelOf({}), ask(), 8192, 0.3)).toBe(0);
  });

  it('is no more because others run beside it, and less with a cached prefix', () => {
    const one = candidate('n', { watts: 100 }, { running: 3 });
    const view = viewOf(one.model, ask(), knowledge());
    const cost = (running: number, cached: number) =>
      judge(one, estimate({ ...one, running }, ask({ promptTokens: 8000 }), cached), view, ask({ promptTokens: 8000 })).costUsd;
    expect(cost(3, 0)).toBe(cost(0, 0));
    expect(cost(0, 7000)).toBeLessThan(cost(0, 0));
  });
});

describe('what a candidate is judged by', () => {
  it('is what is believed of its model here, from the prior on, and how little it served lately', () => {
    const seen: unknown[] = [];
    const known = knowledge({
      now: 77,
      beliefs: {
        belief: (...args) => {
          seen.push(args);
          return { mean: 0.6, sd: 0.2 };
        },
        share: () => 0.25,
      },
    });
    const one = candidate('n', { tier: Tier.TIER_BALANCED });
    const wish = ask({ classification: classification({ domain: 'law', complexity: 'complex', task: 'summary' }) });
    const expected = estimate(one, wish);
    expect(judge(one, expected, viewOf(one.model, wish, known), wish)).toEqual({
      node: 'n',
      model: 'm',
      quality: { mean: 0.6, sd: 0.2 },
      costUsd: 0,
      latencyMs: onGrid(expected.totalMs),
      diversity: 0.75,
    });
    const context = { domain: 'law', complexity: 'complex', task: 'summary' };
    expect(seen).toEqual([[{ model: 'm', tier: Tier.TIER_BALANCED }, context, 0.7, 77]]);
    expect(viewOf(one.model, wish, knowledge({ beliefs: beliefs(0.3) })).quality).toEqual({ mean: 0.7, sd: 0.3 });
  });
});

describe('the prior', () => {
  const prior = (more: Parameters<typeof candidate>[1], task: Task = 'chat', classifier = unknowing) =>
    priorQuality(modelOf(more), classification({ task }), classifier);

  it('is what the weights know of the model, else how likely its tier is to suffice', () => {
    const knowing = { ...unknowing, quality: (_: unknown, model: string) => (model === 'known' ? 0.33 : undefined) };
    expect(prior({ name: 'known', tier: Tier.TIER_CLOUD }, 'chat', knowing)).toBe(0.33);
    expect(prior({ name: 'new', tier: Tier.TIER_CLOUD }, 'chat', knowing)).toBe(0.9);
    expect(prior({ tier: Tier.TIER_BALANCED })).toBe(0.7);
    expect(prior({ tier: Tier.TIER_UNSPECIFIED })).toBe(0.5);
  });

  it('is high for a specialist at its task, and next to nothing elsewhere', () => {
    expect(prior({ tasks: ['story'] }, 'story')).toBe(0.85);
    expect(prior({ tasks: ['story'], tier: Tier.TIER_CLOUD }, 'story')).toBe(0.9);
    expect(prior({ tasks: ['story'] }, 'chat')).toBeLessThan(0.1);
  });
});

describe('suitability', () => {
  it.each<[string[], Task, string]>([
    [['story'], 'story', 'specialist'],
    [['story'], 'chat', 'unsuited'],
    [['code', 'maths'], 'code', 'generalist'],
    [['code', 'maths'], 'story', 'unsuited'],
    [['chat', 'story'], 'story', 'generalist'],
    [['chat'], 'question', 'generalist'],
    [['chat'], 'chat', 'generalist'],
    [[], 'story', 'generalist'],
  ])('of %j for %s is %s', (tasks, task, found) => expect(suitability(tasks, task)).toBe(found));
});
