import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Judged } from '../../../router/select/choice.ts';
import { dominates } from '../../../router/select/pareto.ts';
import type { Choosing } from '../../../router/select/pick.ts';
import { choose } from '../../../router/select/pick.ts';
import type { Preference } from '../../../router/select/policy.ts';
import { judged } from './builders.ts';

const even: Preference = { cost: 1, quality: 1, latency: 1, diversity: 1 };
const options = (more: Partial<Choosing> = {}): Choosing => ({ preference: even, explore: false, seed: 1, ...more });

/** Values over orders of magnitude, few enough to tie. */
const model = fc.record({
  mean: fc.constantFrom(0, 0.3, 0.5, 0.51, 0.9, 1),
  sd: fc.constantFrom(0, 0.05, 0.3),
  diversity: fc.constantFrom(0, 0.5, 1),
});
const sets = fc.tuple(
  fc.array(model, { minLength: 5, maxLength: 5 }),
  fc.uniqueArray(
    fc.record({
      model: fc.nat({ max: 4 }),
      node: fc.nat({ max: 5 }),
      costUsd: fc.constantFrom(0, 1e-6, 1e-5, 1.1e-5, 0.02),
      latencyMs: fc.constantFrom(0, 50, 60, 900, 60_000),
    }),
    { minLength: 1, maxLength: 16, selector: ({ model, node }) => model * 10 + node },
  ),
);
const some = sets.map(([models, all]) =>
  all.map(({ model, node, costUsd, latencyMs }): Judged => {
    const { mean, sd, diversity } = models[model] as (typeof models)[number];
    return judged(`m${model}`, `n${node}`, { quality: { mean, sd }, costUsd, latencyMs, diversity });
  }),
);
const weight = fc.oneof(fc.constant(0), fc.double({ min: 0.001, max: 1, noNaN: true }));
const preference = fc
  .record({ cost: weight, quality: weight, latency: weight, diversity: weight })
  .filter(({ cost, quality, latency, diversity }) => cost + quality + latency + diversity > 0);
const seed = fc.integer({ min: 0, max: 2 ** 32 - 1 });

/** As losses, with the quality that the choice went by. */
const columnsOf = (all: readonly Judged[], drawn: ArrayLike<number>) => [
  all.map((_, i) => -(drawn[i] as number)),
  all.map(({ costUsd }) => costUsd),
  all.map(({ latencyMs }) => latencyMs),
  all.map(({ diversity }) => -diversity),
];

describe('whatever there is to choose from', () => {
  it('no dominated one is chosen, drawn or not', () => {
    fc.assert(
      fc.property(some, preference, fc.boolean(), seed, (all, preference, explore, seed) => {
        const choice = choose(all, { preference, explore, seed });
        const columns = columnsOf(all, choice.drawn);
        for (const other of all.keys()) expect(dominates(columns, other, choice.index)).toBe(false);
        expect(choice.onFront(choice.index)).toBe(true);
      }),
      { numRuns: 1500 },
    );
  });

  it('the front is what comparing everyone with everyone leaves', () => {
    fc.assert(
      fc.property(some, fc.boolean(), seed, (all, explore, seed) => {
        const choice = choose(all, options({ explore, seed }));
        const columns = columnsOf(all, choice.drawn);
        for (const i of all.keys()) {
          expect(choice.onFront(i)).toBe(![...all.keys()].some((other) => dominates(columns, other, i)));
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('the nearest is chosen, by the distances told', () => {
    fc.assert(
      fc.property(some, preference, fc.boolean(), seed, (all, preference, explore, seed) => {
        const { distances, index } = choose(all, { preference, explore, seed });
        expect(distances[index]).toBeCloseTo(Math.min(...distances), 9);
        expect(Math.min(...distances)).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  it.each([
    ['cost', ({ costUsd }: Judged) => costUsd],
    ['latency', ({ latencyMs }: Judged) => latencyMs],
    ['diversity', ({ diversity }: Judged) => -diversity],
    ['quality', ({ quality }: Judged) => -quality.mean],
  ] as const)('a higher weight on %s never worsens it', (objective, loss) => {
    fc.assert(
      fc.property(some, preference, fc.double({ min: 0, max: 3, noNaN: true }), (all, preference, more) => {
        const before = choose(all, options({ preference }));
        const after = choose(all, options({ preference: { ...preference, [objective]: preference[objective] + more } }));
        const [was, is] = [all[before.index] as Judged, all[after.index] as Judged];
        // Where the distances are alike to the last digits, the scaled weights may round either way.
        if (Math.abs((before.distances[before.index] as number) - (before.distances[after.index] as number)) < 1e-12) return;
        expect(loss(is)).toBeLessThanOrEqual(loss(was));
      }),
      { numRuns: 1000 },
    );
  });

  it('the choice, its propensities and its draw are the same in any order', () => {
    fc.assert(
      fc.property(some, preference, seed, (all, preference, seed) => {
        const wish = { preference, explore: true, seed };
        const [one, other] = [choose(all, wish), choose(all.toReversed(), wish)];
        expect(all.toReversed()[other.index]).toBe(all[one.index]);
        expect(other.drawn.toReversed()).toEqual(one.drawn);
        for (const [name, chance] of one.propensities) expect(other.propensities.get(name)).toBeCloseTo(chance, 9);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('the propensity', () => {
  it('is how often a model is drawn, ties included', () => {
    fc.assert(
      fc.property(some, preference, (all, preference) => {
        const draws = 2000;
        const counts = new Map<string, number>();
        for (let seed = 0; seed < draws; seed++) {
          const { model } = all[choose(all, { preference, explore: true, seed }).index] as Judged;
          counts.set(model, (counts.get(model) ?? 0) + 1);
        }
        const { propensities } = choose(all, { preference, explore: true, seed: 1 });
        // Counting so often has a standard error of up to .011 itself.
        for (const name of new Set([...counts.keys(), ...propensities.keys()])) {
          expect(Math.abs((counts.get(name) ?? 0) / draws - (propensities.get(name) ?? 0))).toBeLessThan(0.055);
        }
      }),
      { numRuns: 12, seed: 3, endOnFailure: true },
    );
  });

  it('is 1 without exploration, and when quality weighs nothing', () => {
    const two = [
      judged('a', 'n', { quality: { mean: 0.5, sd: 0.3 } }),
      judged('b', 'n', { costUsd: 0.5, quality: { mean: 0.6, sd: 0.3 } }),
    ];
    expect(choose(two, options()).propensities.size).toBe(1);
    expect(choose(two, options({ explore: true, preference: { ...even, quality: 0 } })).propensities).toEqual(
      new Map([['a', 1]]),
    );
  });
});

describe('the units of distance', () => {
  it('let a third of quality weigh as much as ten times the time, or all of the cost', () => {
    const { distances } = choose(
      [judged('a', 'n', { quality: { mean: 0.2, sd: 0 }, latencyMs: 100, costUsd: 0 }), judged('b', 'n')],
      options(),
    );
    expect(distances[0]).toBeCloseTo((0.25 * 0.3) / 0.3);
    expect(distances[1]).toBeCloseTo(0.25 + 0.25);
  });

  it('do not blow up a small saving', () => {
    const dear = judged('a', 'n', { costUsd: 1e-5, quality: { mean: 0.53, sd: 0 } });
    const cheap = judged('b', 'n', { costUsd: 0.9e-5 });
    expect(
      choose([dear, cheap], options({ preference: { cost: 0.25, quality: 0.5, latency: 0.2, diversity: 0.05 } })).index,
    ).toBe(0);
  });
});

describe('a conversation', () => {
  const near = judged('near', 'n', { quality: { mean: 0.56, sd: 0 } });
  const far = judged('far', 'n');

  it('stays with its model within the margin', () => {
    expect(choose([near, far], options({ stayWith: 'far', switchMargin: 0.06 })).index).toBe(1);
    expect(choose([near, far], options({ stayWith: 'far', switchMargin: 0.04 })).index).toBe(0);
    expect(choose([near, far], options({ stayWith: 'far' })).index).toBe(0);
  });

  it('moves when its model is not there', () => {
    expect(choose([near, far], options({ stayWith: 'gone', switchMargin: 1 })).index).toBe(0);
  });
});

describe('a preference', () => {
  it('that weighs nothing is refused', () => {
    expect(() => choose([judged('a', 'n')], options({ preference: { cost: 0, quality: 0, latency: 0, diversity: 0 } }))).toThrow(
      RangeError,
    );
  });

  it('of nothing to choose from is nobody', () => {
    expect(choose([], options({ explore: true }))).toMatchObject({ index: -1, explored: false, front: [] });
  });
});
