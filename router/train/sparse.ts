/**
 * Linear heads on rows of words, by stochastic gradient descent with AdaGrad's step sizes (Duchi et al., 2011): classes
 * of one softmax, or many logistic heads at once.
 */
import type { Heads } from '../classify/heads.ts';
import { strideOf } from '../classify/heads.ts';
import { sigmoid } from '../classify/mixture.ts';
import { seeded, shuffle } from './random.ts';

/** Compressed: the words of prompt i are from `offsets[i]` up to `offsets[i + 1]`. */
export interface Sparse {
  readonly offsets: Int32Array;
  readonly rows: Uint16Array;
  readonly halves: Uint8Array;
  /** As in `Heads`. */
  readonly importance: Uint16Array;
  /** Importance x halves over the prompt's Euclidean length, as `applyHeads` has it. */
  readonly values: Float32Array;
}

export interface DescentOptions {
  readonly epochs: number;
  readonly rate: number;
  readonly decay: number;
  /** Squared steps taken as before the first. */
  readonly damping: number;
  readonly seed: number;
}

export interface HeadWeights {
  /** Rows of words x heads. */
  readonly weights: Float32Array;
  readonly bias: Float32Array;
}

/** Errors of the softmax below this teach nothing worth the time. */
const LEAST_ERROR = 1e-3;
const BIAS_RATE = 0.002;

/** @param label per prompt its class */
export function trainSoftmax(
  features: Sparse,
  prompts: Int32Array,
  label: Int32Array,
  classes: number,
  options: DescentOptions,
): HeadWeights {
  const bias = new Float32Array(classes);
  const counts = new Float64Array(classes).fill(1);
  for (const prompt of prompts) counts[label[prompt] as number] = (counts[label[prompt] as number] as number) + 1;
  for (let index = 0; index < classes; index++) bias[index] = Math.log((counts[index] as number) / Math.max(1, prompts.length));
  return descend(features, prompts, bias, options, (prompt, scores, active) => {
    let most = Number.NEGATIVE_INFINITY;
    for (let index = 0; index < classes; index++) most = Math.max(most, scores[index] as number);
    let sum = 0;
    for (let index = 0; index < classes; index++) {
      const share = Math.exp((scores[index] as number) - most);
      scores[index] = share;
      sum += share;
    }
    let count = 0;
    for (let index = 0; index < classes; index++) {
      const error = (scores[index] as number) / sum - (index === label[prompt] ? 1 : 0);
      scores[index] = error;
      if (Math.abs(error) >= LEAST_ERROR) active[count++] = index;
    }
    return count;
  });
}

/** @param targets prompts x heads in 0..1; NaN where unknown */
export function trainLogistic(
  features: Sparse,
  prompts: Int32Array,
  targets: Float32Array,
  heads: number,
  options: DescentOptions,
): HeadWeights {
  const bias = biasOf(prompts, targets, heads);
  return descend(features, prompts, bias, options, (prompt, scores, active) => {
    let count = 0;
    for (let head = 0; head < heads; head++) {
      const target = targets[prompt * heads + head] as number;
      if (Number.isNaN(target)) continue;
      const error = sigmoid(scores[head] as number) - target;
      scores[head] = error;
      bias[head] = (bias[head] as number) - BIAS_RATE * error;
      active[count++] = head;
    }
    return count;
  });
}

/** Turns scores into errors in place, lists the heads that are to learn and says how many. */
type ErrorsOf = (prompt: number, scores: Float64Array, active: Int32Array) => number;

function descend(
  features: Sparse,
  prompts: Int32Array,
  bias: Float32Array,
  options: DescentOptions,
  errorsOf: ErrorsOf,
): HeadWeights {
  const { offsets, rows, values, importance } = features;
  const heads = bias.length;
  const weights = new Float32Array(importance.length * heads);
  const squares = new Float32Array(importance.length * heads).fill(options.damping);
  const random = seeded(options.seed);
  const order = prompts.slice();
  const scores = new Float64Array(heads);
  const active = new Int32Array(heads);
  for (let epoch = 0; epoch < options.epochs; epoch++) {
    shuffle(order, random);
    for (const prompt of order) {
      const from = offsets[prompt] as number;
      const to = offsets[prompt + 1] as number;
      scores.set(bias);
      for (let at = from; at < to; at++) {
        const value = values[at] as number;
        const start = (rows[at] as number) * heads;
        if (value !== 0)
          for (let head = 0; head < heads; head++)
            scores[head] = (scores[head] as number) + value * (weights[start + head] as number);
      }
      const count = errorsOf(prompt, scores, active);
      for (let at = from; at < to; at++) {
        const value = values[at] as number;
        if (value === 0) continue;
        const start = (rows[at] as number) * heads;
        for (let index = 0; index < count; index++) {
          const head = active[index] as number;
          const weight = weights[start + head] as number;
          const slope = value * (scores[head] as number) + options.decay * weight;
          const square = (squares[start + head] as number) + slope * slope;
          squares[start + head] = square;
          weights[start + head] = weight - (options.rate * slope) / Math.sqrt(square);
        }
      }
    }
  }
  return { weights, bias };
}

function biasOf(prompts: Int32Array, targets: Float32Array, heads: number): Float32Array {
  return Float32Array.from({ length: heads }, (_, head) => {
    let sum = 0.5;
    let count = 1;
    for (const prompt of prompts) {
      const target = targets[prompt * heads + head] as number;
      if (Number.isNaN(target)) continue;
      sum += target;
      count++;
    }
    const mean = Math.min(0.999, Math.max(0.001, sum / count));
    return Math.log(mean / (1 - mean));
  });
}

/** Both beside each other, rounded to steps of 1/127 of each head's largest weight. */
export function quantised(parts: readonly HeadWeights[], names: readonly string[], importance: Uint16Array): Heads {
  const heads = names.length;
  const rows = importance.length;
  const stride = strideOf(heads);
  const weights = new Int8Array(rows * stride);
  const scale = new Float32Array(heads);
  const bias = new Float32Array(heads);
  let first = 0;
  for (const part of parts) {
    const own = part.bias.length;
    for (let head = 0; head < own; head++) {
      let most = 0;
      for (let row = 0; row < rows; row++) most = Math.max(most, Math.abs(part.weights[row * own + head] as number));
      const step = Math.fround(most / 127);
      scale[first + head] = step;
      bias[first + head] = part.bias[head] as number;
      if (step === 0) continue;
      for (let row = 0; row < rows; row++)
        weights[row * stride + first + head] = Math.round((part.weights[row * own + head] as number) / step);
    }
    first += own;
  }
  return { names, weights, importance, scale, bias };
}
