/** The benchmark's measures, on cases small enough to work out by hand. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bootstrap } from '../bench/routing/bootstrap.ts';
import { aiq, costOf, hullOf, qualityAt, rangeOf } from '../bench/routing/hull.ts';
import type { Sample } from '../bench/routing/metrics.ts';
import { auroc, calibrationError, Ranking } from '../bench/routing/metrics.ts';

/** Four prompts: one that only the strong model answers, one that only the weak does, two that both do. */
const outcomes = { gains: [0, 1], loses: [1, 0], both: [1, 1] } as const;
const sample = (rank: number, outcome: keyof typeof outcomes): Sample => ({
  rank,
  weak: outcomes[outcome][0],
  strong: outcomes[outcome][1],
});

describe('a ranking', () => {
  // Strong less weak is (1 + 1 - 1) / 4.
  const best = new Ranking([sample(1, 'loses'), sample(4, 'gains'), sample(3, 'gains'), sample(2, 'both')]);

  test('has the area under the recovered gap: the best order passes the strong model on its way', () => {
    expect(best.gap()).toBeCloseTo(1 / 4);
    // PGR 0, 1, 2, 2, 1 at shares 0 to 1: trapezoids of 0.5, 1.5, 2 and 1.5, each a quarter wide.
    expect(best.apgr()).toBeCloseTo(5.5 / 4);
  });

  test('needs the share of strong calls at which the gap is first recovered', () => {
    expect(best.cpt(0.5)).toBeCloseTo(0.125);
    expect(best.cpt(0.8)).toBeCloseTo(0.2);
    const worst = new Ranking([sample(4, 'loses'), sample(1, 'gains'), sample(2, 'gains'), sample(3, 'both')]);
    expect(worst.apgr()).toBeCloseTo(1 - 5.5 / 4);
    // Recovered: 0, -1, -1, 0, 1.
    expect(worst.cpt(0.5)).toBeCloseTo(0.875);
  });

  test('without differences is a random one', () => {
    const flat = new Ranking([sample(7, 'gains'), sample(7, 'loses'), sample(7, 'gains'), sample(7, 'both')]);
    expect(flat.apgr()).toBeCloseTo(0.5);
    expect(flat.cpt(0.8)).toBeCloseTo(0.8);
  });

  test('turned around is as much worse than random as it was better', () => {
    const samples = fc.array(
      fc.record({ rank: fc.integer({ min: 0, max: 5 }), weak: fc.integer({ min: 0, max: 1 }), strong: fc.constant(1) }),
      { minLength: 2 },
    );
    fc.assert(
      fc.property(samples, (given) => {
        fc.pre(given.some(({ weak }) => weak === 0));
        const turned = given.map((one) => ({ ...one, rank: -one.rank }));
        expect(new Ranking(given).apgr() + new Ranking(turned).apgr()).toBeCloseTo(1);
      }),
    );
  });

  test('drawn again with counts is the ranking of the drawn samples', () => {
    const drawn = new Ranking([sample(4, 'gains'), sample(4, 'gains'), sample(1, 'loses')]);
    const counts = Uint16Array.of(1, 2, 0, 0);
    expect(best.apgr(counts)).toBeCloseTo(drawn.apgr());
    expect(best.cpt(0.5, counts)).toBeCloseTo(drawn.cpt(0.5));
  });
});

describe('a probability', () => {
  test('tells labels apart by the pairs it orders rightly', () => {
    expect(auroc([0.9, 0.8, 0.3, 0.1], [true, false, true, false])).toBeCloseTo(3 / 4);
    expect(auroc([0.5, 0.5], [true, false])).toBeCloseTo(0.5);
  });

  test('is off by the mean distance of its bins', () => {
    // Bins {0.1, 0.2} -> 0.5 and {0.8, 0.9} -> 1: off by 0.35 and 0.15.
    expect(calibrationError([0.9, 0.1, 0.2, 0.8], [1, 0, 1, 1], 2)).toBeCloseTo(0.25);
    expect(calibrationError([0.5, 0.5, 0.5, 0.5], [0, 1, 1, 0], 1)).toBeCloseTo(0);
  });
});

describe('a hull', () => {
  const points = [
    { cost: 1, quality: 0.4 },
    { cost: 2, quality: 0.45 },
    { cost: 3, quality: 0.8 },
    { cost: 4, quality: 0.6 },
    { cost: 5, quality: 0.9 },
  ];
  const hull = hullOf(points);

  test('leaves out what mixing two others beats, and what is dearer and no better', () => {
    expect(hull.map(({ cost }) => cost)).toEqual([1, 3, 5]);
  });

  test('has nothing below its cheapest point and stays flat beyond its best', () => {
    expect([0.5, 1, 2, 4, 9].map((cost) => qualityAt(hull, cost))).toEqual([
      0,
      0.4,
      expect.closeTo(0.6),
      expect.closeTo(0.85),
      0.9,
    ]);
    expect(costOf(hull, 0.6)).toBeCloseTo(2);
    expect(costOf(hull, 0.1)).toBe(1);
    expect(costOf(hull, 0.95)).toBeNaN();
  });

  test('has its area over the range of costs', () => {
    expect(aiq(hull, rangeOf(points))).toBeCloseTo((2 * 0.6 + 2 * 0.85) / 4);
    expect(aiq([{ cost: 2, quality: 0.5 }], { from: 1, to: 3 })).toBeCloseTo(0.25);
    expect(aiq([{ cost: 0.5, quality: 0.5 }], { from: 1, to: 3 })).toBeCloseTo(0.5);
  });

  test('never loses by another point', () => {
    const point = fc.record({
      cost: fc.double({ min: 1, max: 5, noNaN: true }),
      quality: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(point), point, (some, another) => {
        const given = [{ cost: 1, quality: 0.1 }, ...some];
        const range = { from: 1, to: 5 };
        expect(aiq(hullOf([...given, another]), range)).toBeGreaterThanOrEqual(aiq(hullOf(given), range) - 1e-9);
      }),
    );
  });
});

test('a bootstrap interval holds the mean of what it draws from, and is drawn again from its seed', () => {
  const values = Array.from({ length: 400 }, (_, i) => i % 2);
  const mean = (counts: Uint16Array) => values.reduce((total, value, i) => total + value * (counts[i] as number), 0) / 400;
  const { low, high } = bootstrap(values.length, 500, mean);
  // 1.96 standard errors of 0.025 to each side.
  expect(low).toBeCloseTo(0.451, 1.7);
  expect(high).toBeCloseTo(0.549, 1.7);
  expect(bootstrap(values.length, 500, mean)).toEqual({ low, high });
});
