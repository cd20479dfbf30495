import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { normalBelow } from '../../../router/select/normal.ts';
import type { Contender } from '../../../router/select/propensity.ts';
import { propensities } from '../../../router/select/propensity.ts';
import { gaussian, seeded } from '../../../router/select/random.ts';

const clamp = (value: number) => Math.min(1, Math.max(0, value));

/** Shares of wins in so many draws. */
function counted(contenders: readonly Contender[], unit: number, draws: number): number[] {
  const random = seeded(5);
  const wins = contenders.map(() => 0);
  for (let n = 0; n < draws; n++) {
    const distances = contenders.map(({ base, mean, sd }) => base - unit * clamp(mean + sd * gaussian(random)));
    const first = distances.indexOf(Math.min(...distances));
    wins[first] = (wins[first] as number) + 1;
  }
  return wins.map((won) => won / draws);
}

const contender = fc.record({
  base: fc.double({ min: 0, max: 1, noNaN: true }),
  mean: fc.double({ min: 0, max: 1, noNaN: true }),
  sd: fc.constantFrom(0.001, 0.02, 0.05, 0.1, 0.2, 0.5),
});

describe('the probability of each model', () => {
  it('is what counting draws finds', () => {
    fc.assert(
      fc.property(fc.array(contender, { minLength: 1, maxLength: 10 }), fc.constantFrom(0.3, 1, 3), (some, unit) => {
        // No two are equally near where both are clamped: who wins a tie is another's business.
        const contenders = some.map((one, i) => ({ ...one, base: one.base + i * 1e-6 }));
        const found = propensities(contenders, unit);
        // Counting has a standard error of up to .0035 itself.
        counted(contenders, unit, 20_000).forEach((share, i) => {
          expect(Math.abs((found[i] as number) - share)).toBeLessThan(0.02);
        });
      }),
      { numRuns: 25, seed: 11, endOnFailure: true },
    );
  });

  it('sums to 1', () => {
    fc.assert(
      fc.property(fc.array(contender, { minLength: 1, maxLength: 40 }), (contenders) => {
        expect(propensities(contenders, 1.7).reduce((sum, one) => sum + one, 0)).toBeCloseTo(1, 9);
      }),
    );
  });

  it('is known exactly for two that are normal', () => {
    const [first] = propensities(
      [
        { base: 0.5, mean: 0.55, sd: 0.03 },
        { base: 0.5, mean: 0.5, sd: 0.04 },
      ],
      1,
    );
    expect(first).toBeCloseTo(normalBelow(1), 2);
  });

  it('is shared evenly by those who are alike, and 1 for who is certain and nearest', () => {
    const alike = { base: 0.2, mean: 0.5, sd: 0.1 };
    for (const one of propensities([alike, alike, alike, alike], 1)) expect(one).toBeCloseTo(0.25, 6);
    expect(
      propensities(
        [
          { base: 0, mean: 0.5, sd: 0 },
          { base: 0.1, mean: 0.5, sd: 0 },
        ],
        1,
      ),
    ).toEqual([1, 0]);
  });

  it('counts those in whom quality is clamped as often at the top as they are', () => {
    // Half of the draws of both are clamped to 1, where the nearer base wins.
    const [near, far] = propensities(
      [
        { base: 1, mean: 1, sd: 0.2 },
        { base: 1.0001, mean: 1, sd: 0.2 },
      ],
      1,
    ) as [number, number];
    expect(near).toBeCloseTo(0.625, 2);
    expect(far).toBeCloseTo(0.375, 2);
  });
});
