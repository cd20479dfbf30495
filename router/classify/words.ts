/** A scanned text's words, beginnings of words and pairs of words -> rows of the linear heads, each once. Pure. */
import { addUnit, bucketOf, EMPTY, pair } from './hashing.ts';
import type { Scan } from './scan.ts';
import { MOST_WORDS, WORD } from './scan.ts';

const BUCKET_BITS = 15;
const BUCKETS = 2 ** BUCKET_BITS;
/** Behind the buckets each form of prompt has a row of its own: how many options, how lettered, "Answer:" or not. */
const FORMS = 16;
export const WORD_ROWS = BUCKETS + FORMS;
/** A word's beginning stands for its other forms: electric, electron. */
const PREFIX_UNITS = 5;
const PREFIX_SEED = addUnit(EMPTY, 1);
/** Word, beginning and pair; and the form. */
const MOST_ROWS = 3 * MOST_WORDS + 1;

/** How much a row counts, in halves. */
const FULL = 2;
const HALF = 1;

export class WordRows {
  count = 0;
  readonly list = new Uint16Array(MOST_ROWS);
  /** Per row listed: a pair says half as much as a word. */
  readonly halves = new Uint8Array(MOST_ROWS);
  readonly #seen = new Int32Array(WORD_ROWS);
  #stamp = 0;

  /** Replaces the list by that of the scan. */
  fill(scan: Scan): void {
    this.count = 0;
    this.#stamp++;
    let before = 0;
    for (let index = 0; index < scan.words; index++) {
      const hash = scan.hash[index] as number;
      this.#add(bucketOf(hash, BUCKET_BITS), FULL);
      if (scan.kind[index] === WORD) this.#addPrefix(scan, index);
      if (scan.first[index] === 0 && before !== 0) this.#add(bucketOf(pair(before, hash), BUCKET_BITS), HALF);
      before = hash;
    }
    this.#add(BUCKETS + formOf(scan), FULL);
  }

  #addPrefix(scan: Scan, index: number): void {
    const start = scan.start[index] as number;
    if ((scan.end[index] as number) - start <= PREFIX_UNITS) return;
    let hash = PREFIX_SEED;
    for (let at = start; at < start + PREFIX_UNITS; at++) hash = addUnit(hash, scan.text.charCodeAt(at) | 32);
    this.#add(bucketOf(hash, BUCKET_BITS), FULL);
  }

  #add(row: number, halves: number): void {
    if (this.#seen[row] === this.#stamp) return;
    this.#seen[row] = this.#stamp;
    this.list[this.count] = row;
    this.halves[this.count++] = halves;
  }
}

export function isForm(row: number): boolean {
  return row >= BUCKETS;
}

function formOf({ options, optionSign, asks }: Scan): number {
  const many = options === 0 ? 0 : options <= 2 ? 1 : options <= 5 ? 2 : 3;
  return many * 4 + (optionSign === 41 ? 2 : 0) + (asks ? 1 : 0);
}
