import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FadingHistogram } from '../../../router/patience/histogram.ts';

const RATIO = 2 ** 0.25;
const HALF_LIFE_MS = 60_000;

/** As the definition has it: the smallest value that so large a share does not exceed. */
function exact(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length - 1e-9) - 1)] as number;
}

describe('a fading histogram', () => {
  it('tells any percentile within the ratio of its buckets', () => {
    const values = fc.array(fc.double({ min: 1, max: 1_000_000, noNaN: true }), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(values, fc.constantFrom(0.5, 0.95, 0.99, 1), (all, share) => {
        const histogram = new FadingHistogram(HALF_LIFE_MS, 0);
        for (const value of all) histogram.add(value, 0);
        const found = histogram.percentile(share) as number;
        const wanted = exact(all, share);
        expect(found).toBeGreaterThan(wanted / RATIO / 1.0001);
        expect(found).toBeLessThan(wanted * RATIO * 1.0001);
      }),
    );
  });

  it('knows nothing before the first value', () => {
    expect(new FadingHistogram(HALF_LIFE_MS, 0).percentile(0.5)).toBeUndefined();
  });

  it('takes figures that cannot be', () => {
    const histogram = new FadingHistogram(HALF_LIFE_MS, 0);
    for (const value of [-1, 0, Number.NaN, Number.POSITIVE_INFINITY, 1e300]) histogram.add(value, 0);
    expect(histogram.seen).toBe(5);
    expect(Number.isFinite(histogram.percentile(0.5))).toBe(true);
    expect(Number.isFinite(histogram.percentile(1))).toBe(true);
  });

  it('counts a value half after each half-life', () => {
    const histogram = new FadingHistogram(HALF_LIFE_MS, 5000);
    histogram.add(10, 5000, 64);
    expect(histogram.weight(5000)).toBeCloseTo(64);
    expect(histogram.weight(5000 + 3 * HALF_LIFE_MS)).toBeCloseTo(8);
  });

  it('follows what is measured now, however much was measured before', () => {
    const histogram = new FadingHistogram(HALF_LIFE_MS, 0);
    histogram.add(100, 0, 1000);
    for (let n = 0; n < 10; n++) histogram.add(3000, 12 * HALF_LIFE_MS);
    expect(histogram.percentile(0.5)).toBeGreaterThan(2500);
  });

  it('keeps its weights in bounds for years', () => {
    const histogram = new FadingHistogram(HALF_LIFE_MS, 0);
    let now = 0;
    for (let n = 0; n < 5000; n++) {
      now += 40 * HALF_LIFE_MS * (n % 3);
      histogram.add(50, now);
    }
    expect(histogram.weight(now)).toBeGreaterThan(1);
    expect(histogram.weight(now)).toBeLessThan(3);
    expect(histogram.percentile(0.99)).toBeLessThan(50 * RATIO);
  });
});
