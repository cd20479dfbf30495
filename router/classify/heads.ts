/** Linear heads on hashed words: a sum of small integers per head, scaled. Pure. */

export interface Heads {
  readonly names: readonly string[];
  /** Buckets x heads, a bucket's heads together. */
  readonly weights: Int8Array;
  /** What one step of a head's integers is worth. */
  readonly scale: Float32Array;
  readonly bias: Float32Array;
}

const MOST_HEADS = 64;
const sums = new Int32Array(MOST_HEADS);

/**
 * Writes one log-odds per head from `at` on. A bucket's value is 1 / sqrt(count), so that long prompts speak no louder.
 * @param buckets the first `count` count; each bucket at most once
 */
export function applyHeads(heads: Heads, buckets: Uint16Array, from: number, to: number, out: Float32Array, at: number): void {
  const { weights, scale, bias } = heads;
  const count = bias.length;
  sums.fill(0, 0, count);
  for (let index = from; index < to; index++) {
    const start = (buckets[index] as number) * count;
    for (let head = 0; head < count; head++) sums[head] = (sums[head] as number) + (weights[start + head] as number);
  }
  const value = 1 / Math.sqrt(Math.max(1, to - from));
  for (let head = 0; head < count; head++)
    out[at + head] = (bias[head] as number) + value * (scale[head] as number) * (sums[head] as number);
}
