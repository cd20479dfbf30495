/** What was predicted -> what came true, as a line through steps that never falls. Pure. */

export interface Calibration {
  /** Predictions, ascending, at least one. */
  readonly at: Float32Array;
  /** What came true there; never falls. */
  readonly is: Float32Array;
}

export function calibrated({ at, is }: Calibration, prediction: number): number {
  const last = at.length - 1;
  if (prediction <= (at[0] as number)) return is[0] as number;
  if (prediction >= (at[last] as number)) return is[last] as number;
  let low = 0;
  let high = last;
  while (high - low > 1) {
    const mid = (low + high) >> 1;
    if ((at[mid] as number) <= prediction) low = mid;
    else high = mid;
  }
  const from = at[low] as number;
  const share = (prediction - from) / ((at[high] as number) - from);
  return (is[low] as number) + share * ((is[high] as number) - (is[low] as number));
}
