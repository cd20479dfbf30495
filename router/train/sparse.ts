/**
 * Many logistic heads on hashed words at once: stochastic gradient descent with AdaGrad's step sizes (Duchi et al.,
 * 2011). A row's value at each of its buckets is 1 / sqrt(buckets), so that long prompts speak no louder.
 */
import type { Heads } from '../classify/heads.ts';
import { seeded, shuffle } from './random.ts';

/** Compressed rows: the buckets of row i are `buckets[offsets[i]]` up to `buckets[offsets[i + 1]]`. */
export interface Sparse {
  readonly offsets: Int32Array;
  readonly buckets: Uint16Array;
}

export interface HeadOptions {
  readonly heads: number;
  readonly buckets: number;
  readonly epochs: number;
  readonly rate: number;
  readonly decay: number;
  readonly seed: number;
}

export interface HeadWeights {
  /** `buckets` x `heads`, a bucket's heads together. */
  readonly weights: Float32Array;
  readonly bias: Float32Array;
}

export const sigmoid = (value: number): number => 1 / (1 + Math.exp(-value));

/** @param targets rows x heads in 0..1; NaN where unknown */
export function trainHeads(features: Sparse, rows: Int32Array, targets: Float32Array, options: HeadOptions): HeadWeights {
  const { heads, rate } = options;
  const weights = new Float32Array(options.buckets * heads);
  const squares = new Float32Array(options.buckets * heads).fill(1e-4);
  const bias = biasOf(rows, targets, heads);
  const biasSquares = new Float64Array(heads).fill(1);
  const random = seeded(options.seed);
  const order = rows.slice();
  const sums = new Float64Array(heads);
  const error = new Float64Array(heads);
  for (let epoch = 0; epoch < options.epochs; epoch++) {
    shuffle(order, random);
    for (const row of order) {
      const from = features.offsets[row] as number;
      const to = features.offsets[row + 1] as number;
      const value = 1 / Math.sqrt(Math.max(1, to - from));
      sums.fill(0);
      for (let at = from; at < to; at++) {
        const start = (features.buckets[at] as number) * heads;
        for (let head = 0; head < heads; head++) sums[head] = (sums[head] as number) + (weights[start + head] as number);
      }
      for (let head = 0; head < heads; head++) {
        const target = targets[row * heads + head] as number;
        const e = Number.isNaN(target) ? 0 : sigmoid((bias[head] as number) + value * (sums[head] as number)) - target;
        error[head] = e * value;
        if (e !== 0) {
          biasSquares[head] = (biasSquares[head] as number) + e * e;
          bias[head] = (bias[head] as number) - (0.1 * e) / Math.sqrt(biasSquares[head] as number);
        }
      }
      for (let at = from; at < to; at++) {
        const start = (features.buckets[at] as number) * heads;
        for (let head = 0; head < heads; head++) {
          const e = error[head] as number;
          if (e === 0) continue;
          const w = weights[start + head] as number;
          const g = e + options.decay * w;
          const square = (squares[start + head] as number) + g * g;
          squares[start + head] = square;
          weights[start + head] = w - (rate * g) / Math.sqrt(square);
        }
      }
    }
  }
  return { weights, bias };
}

function biasOf(rows: Int32Array, targets: Float32Array, heads: number): Float32Array {
  return Float32Array.from({ length: heads }, (_, head) => {
    let sum = 0.5;
    let count = 1;
    for (const row of rows) {
      const target = targets[row * heads + head] as number;
      if (Number.isNaN(target)) continue;
      sum += target;
      count++;
    }
    const mean = Math.min(0.999, Math.max(0.001, sum / count));
    return Math.log(mean / (1 - mean));
  });
}

/** Rounds to steps of 1/127 of each head's largest weight. */
export function quantised({ weights, bias }: HeadWeights, names: readonly string[]): Heads {
  const heads = bias.length;
  const scale = new Float32Array(heads);
  for (let at = 0; at < weights.length; at++) {
    const head = at % heads;
    scale[head] = Math.max(scale[head] as number, Math.abs(weights[at] as number) / 127);
  }
  const steps = Int8Array.from(weights, (weight, at) => {
    const step = scale[at % heads] as number;
    return step > 0 ? Math.round(weight / step) : 0;
  });
  return { names, weights: steps, scale, bias };
}
