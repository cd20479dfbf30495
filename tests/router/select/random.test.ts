import { describe, expect, it } from 'vitest';
import { gaussian, seeded, seedFor } from '../../../router/select/random.ts';

const many = <T>(count: number, draw: () => T) => Array.from({ length: count }, draw);
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('chance', () => {
  it('repeats itself for the same seed and not for another', () => {
    expect(many(5, seeded(7))).toEqual(many(5, seeded(7)));
    expect(many(5, seeded(7))).not.toEqual(many(5, seeded(8)));
  });

  it('is uniform from 0 to less than 1', () => {
    const draws = many(20_000, seeded(1));
    expect(Math.min(...draws)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...draws)).toBeLessThan(1);
    for (let tenth = 0; tenth < 10; tenth++) {
      expect(draws.filter((one) => Math.floor(one * 10) === tenth).length / 20_000).toBeCloseTo(0.1, 1.8);
    }
  });

  it('is normal with mean 0 and deviation 1, also across seeds of one name', () => {
    const random = seeded(3);
    for (const draws of [
      many(20_000, () => gaussian(random)),
      [...Array(20_000).keys()].map((s) => gaussian(seeded(seedFor(s, 'm')))),
    ]) {
      expect(mean(draws)).toBeCloseTo(0, 1.5);
      expect(mean(draws.map((one) => one ** 2))).toBeCloseTo(1, 1.3);
      expect(draws.filter((one) => Math.abs(one) > 1.96).length / 20_000).toBeCloseTo(0.05, 2);
    }
  });

  it('of two names of one seed, and of two seeds of one name, has nothing in common', () => {
    const pairs = [...Array(20_000).keys()].map((seed) => [
      gaussian(seeded(seedFor(seed, 'a'))),
      gaussian(seeded(seedFor(seed, 'b'))),
    ]);
    expect(mean(pairs.map(([a = 0, b = 0]) => a * b))).toBeCloseTo(0, 1.5);
    const next = [...Array(20_000).keys()].map((seed) => gaussian(seeded(seedFor(seed, 'a'))));
    expect(mean(next.slice(1).map((one, i) => one * (next[i] as number)))).toBeCloseTo(0, 1.5);
  });
});
