/** Intervals of the benchmark's figures: what they are when the same number of prompts is drawn again from these. */
import { seeded } from '../../../router/train/random.ts';

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/**
 * Percentile bootstrap, 95 %.
 * @param measure of a resample, told how often each of the `size` samples was drawn; NaN leaves the resample out
 */
export function bootstrap(size: number, resamples: number, measure: (counts: Uint16Array) => number, seed = 1): Interval {
  const draw = seeded(seed);
  const values: number[] = [];
  const counts = new Uint16Array(size);
  for (let resample = 0; resample < resamples; resample++) {
    counts.fill(0);
    for (let i = 0; i < size; i++) counts[Math.floor(draw() * size)]!++;
    const value = measure(counts);
    if (Number.isFinite(value)) values.push(value);
  }
  values.sort((a, b) => a - b);
  const at = (share: number) => values[Math.round(share * (values.length - 1))] ?? Number.NaN;
  return { low: at(0.025), high: at(0.975) };
}
