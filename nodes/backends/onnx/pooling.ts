/** One vector for each text of a batch, out of what the model makes of its tokens. Pure. */
import { unitVector } from '../unit-vector.ts';

/** mean: over the text's tokens. first, last: that of one token, which stands for all. none: the model pools by itself. */
export type Pooling = 'mean' | 'first' | 'last' | 'none';

/**
 * @param numbers texts x width x dimensions; without the width where the pooling is none
 * @param lengths how many tokens each text has; behind them is filling
 * @param width tokens of the longest text
 * @returns of length 1; undefined for a text that the model gave nothing for that has a direction
 */
export function pooled(
  numbers: Float32Array,
  lengths: readonly number[],
  width: number,
  pooling: Pooling,
): (Float32Array | undefined)[] {
  const rows = pooling === 'none' ? 1 : width;
  const dimensions = numbers.length / (lengths.length * rows);
  return lengths.map((length, text) => {
    const row = (index: number) => {
      const start = (text * rows + index) * dimensions;
      return numbers.subarray(start, start + dimensions);
    };
    if (pooling === 'mean') return unitVector(sumOf(length, row));
    return unitVector(row(pooling === 'last' ? length - 1 : 0));
  });
}

/** As good as the mean, for what has its length brought to 1. */
function sumOf(count: number, row: (index: number) => Float32Array): Float64Array {
  const sum = new Float64Array(row(0).length);
  for (let index = 0; index < count; index++) {
    const values = row(index);
    for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (values[i] as number);
  }
  return sum;
}
