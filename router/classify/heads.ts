/** Linear heads on rows of words: a sum of small integers per head, scaled. Pure. */

export interface Heads {
  /** Classes of a softmax first, "subject:<data set>/<subject>", then pairs of logistic heads, "weak:" and "strong:". */
  readonly names: readonly string[];
  /** Rows x `strideOf(heads)`, a row's heads together. */
  readonly weights: Int8Array;
  /** Per row how much its word says; 0 for words that were too rare to learn from. */
  readonly importance: Uint16Array;
  /** What one step of a head's integers is worth. */
  readonly scale: Float32Array;
  readonly bias: Float32Array;
}

/** Heads are summed so many at a time, in registers. */
const BLOCK = 8;

/** A row's weights take a multiple of this many bytes, the last ones 0. */
export function strideOf(heads: number): number {
  return Math.ceil(heads / BLOCK) * BLOCK;
}

let starts = new Int32Array(1024);
let values = new Int32Array(1024);

/**
 * Writes one log-odds per head from `at` on. A prompt's values have a Euclidean length of 1, so that long prompts speak
 * no louder than short ones.
 * @param rows each at most once, from `from` up to `to` @param halves 1 or 2 per row: its share of the importance
 */
export function applyHeads(
  heads: Heads,
  rows: Uint16Array,
  halves: Uint8Array,
  from: number,
  to: number,
  out: Float32Array,
  at: number,
): void {
  const { weights, scale, bias } = heads;
  const used = gather(heads, rows, halves, from, to);
  let squares = 0;
  for (let index = 0; index < used; index++) squares += (values[index] as number) * (values[index] as number);
  const norm = squares > 0 ? 1 / Math.sqrt(squares) : 0;
  const count = bias.length;
  for (let block = 0; block < count; block += BLOCK) {
    sumBlock(weights, used, block);
    const end = Math.min(count, block + BLOCK);
    for (let head = block; head < end; head++)
      out[at + head] = (bias[head] as number) + norm * (scale[head] as number) * (sums[head - block] as number);
  }
}

/** Into `starts` and `values` the rows that say anything; how many those are. */
function gather({ importance, bias }: Heads, rows: Uint16Array, halves: Uint8Array, from: number, to: number): number {
  const stride = strideOf(bias.length);
  if (to - from > starts.length) {
    starts = new Int32Array(2 * (to - from));
    values = new Int32Array(2 * (to - from));
  }
  let used = 0;
  for (let index = from; index < to; index++) {
    const row = rows[index] as number;
    const value = (importance[row] as number) * (halves[index] as number);
    if (value === 0) continue;
    starts[used] = row * stride;
    values[used++] = value;
  }
  return used;
}

const sums = new Int32Array(BLOCK);

function sumBlock(weights: Int8Array, used: number, block: number): void {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let s4 = 0;
  let s5 = 0;
  let s6 = 0;
  let s7 = 0;
  for (let index = 0; index < used; index++) {
    const at = (starts[index] as number) + block;
    const value = values[index] as number;
    s0 = (s0 + Math.imul(value, weights[at] as number)) | 0;
    s1 = (s1 + Math.imul(value, weights[at + 1] as number)) | 0;
    s2 = (s2 + Math.imul(value, weights[at + 2] as number)) | 0;
    s3 = (s3 + Math.imul(value, weights[at + 3] as number)) | 0;
    s4 = (s4 + Math.imul(value, weights[at + 4] as number)) | 0;
    s5 = (s5 + Math.imul(value, weights[at + 5] as number)) | 0;
    s6 = (s6 + Math.imul(value, weights[at + 6] as number)) | 0;
    s7 = (s7 + Math.imul(value, weights[at + 7] as number)) | 0;
  }
  sums[0] = s0;
  sums[1] = s1;
  sums[2] = s2;
  sums[3] = s3;
  sums[4] = s4;
  sums[5] = s5;
  sums[6] = s6;
  sums[7] = s7;
}
