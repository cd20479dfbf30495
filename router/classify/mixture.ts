/**
 * What the heads say, in few numbers: how likely each domain and each data set's kind of question is, and under that
 * mixture what a weak and a strong model, a small and a large one would score. Pure.
 */
import { DOMAINS } from './classification.ts';

export const DOMAIN_HEADS = DOMAINS.filter((domain) => domain !== 'story');

/** Means of the training rows of one class of the softmax. */
export interface SubjectMeans {
  /** Per class: strong less weak model, small models, strong models. */
  readonly gain: Float32Array;
  readonly small: Float32Array;
  readonly strong: Float32Array;
  /** Per class: an index into `DOMAIN_HEADS`, or 255 for many. */
  readonly domain: Uint8Array;
  /** Per class: an index into `pools`. */
  readonly pool: Uint8Array;
  readonly pools: readonly string[];
}

/** Expected gain, small and strong by subject; entropy; then weak, strong and gain by data set. */
const EXPECTED = 7;
/** From the start of a mixture: gain expected by data set. */
export const POOLED_GAIN = 6;
export const DOMAIN_AT = EXPECTED;

const MOST_CLASSES = 256;
const MOST_POOLS = 64;
const shares = new Float64Array(MOST_CLASSES);
const poolShares = new Float64Array(MOST_POOLS);

export function mixtureSize({ pools }: SubjectMeans): number {
  return EXPECTED + DOMAIN_HEADS.length + pools.length;
}

/**
 * Writes `mixtureSize` numbers from `at` on: what is expected, the domains' and the pools' probabilities.
 * @param logits what the heads say, from `from` on, in the order of `Heads.names`
 */
export function mix(means: SubjectMeans, logits: Float32Array, from: number, out: Float32Array, at: number): void {
  const classes = means.gain.length;
  const pools = means.pools.length;
  softmax(logits, from, classes);
  out.fill(0, at, at + mixtureSize(means));
  poolShares.fill(0, 0, pools);
  let gain = 0;
  let small = 0;
  let strong = 0;
  let entropy = 0;
  for (let index = 0; index < classes; index++) {
    const share = shares[index] as number;
    gain += share * (means.gain[index] as number);
    small += share * (means.small[index] as number);
    strong += share * (means.strong[index] as number);
    if (share > 1e-6) entropy -= share * Math.log(share);
    const domain = means.domain[index] as number;
    if (domain < DOMAIN_HEADS.length) out[at + DOMAIN_AT + domain] = (out[at + DOMAIN_AT + domain] as number) + share;
    const pool = means.pool[index] as number;
    poolShares[pool] = (poolShares[pool] as number) + share;
  }
  let weakScore = 0;
  let strongScore = 0;
  for (let pool = 0; pool < pools; pool++) {
    const share = poolShares[pool] as number;
    const head = from + classes + 2 * pool;
    weakScore += share * sigmoid(logits[head] as number);
    strongScore += share * sigmoid(logits[head + 1] as number);
    out[at + DOMAIN_AT + DOMAIN_HEADS.length + pool] = share;
  }
  out[at] = gain;
  out[at + 1] = small;
  out[at + 2] = strong;
  out[at + 3] = entropy;
  out[at + 4] = weakScore;
  out[at + 5] = strongScore;
  out[at + POOLED_GAIN] = strongScore - weakScore;
}

export function sigmoid(value: number): number {
  return 1 / (1 + Math.exp(-value));
}

/** Into `shares`. */
function softmax(logits: Float32Array, from: number, classes: number): void {
  let most = Number.NEGATIVE_INFINITY;
  for (let index = 0; index < classes; index++) most = Math.max(most, logits[from + index] as number);
  let sum = 0;
  for (let index = 0; index < classes; index++) {
    const share = Math.exp((logits[from + index] as number) - most);
    shares[index] = share;
    sum += share;
  }
  for (let index = 0; index < classes; index++) shares[index] = (shares[index] as number) / sum;
}
