/** Words -> 32-bit hashes -> buckets. Pure. A change here needs a new training. */

const OFFSET = 0x811c9dc5 | 0;
const PRIME = 0x01000193;

/** Start of a word's hash. */
export const EMPTY = OFFSET;

/** FNV-1a over UTF-16 units. */
export function addUnit(hash: number, unit: number): number {
  return Math.imul(hash ^ unit, PRIME);
}

/** Of a whole lower-case word. */
export function hashWord(word: string): number {
  let hash = EMPTY;
  for (let at = 0; at < word.length; at++) hash = addUnit(hash, word.charCodeAt(at));
  return hash;
}

/** Order matters: "not all" is not "all not". */
export function pair(first: number, second: number): number {
  return Math.imul(first, 0x2c1b3c6d) ^ Math.imul(second, 0x297a2d39) ^ 0x5bd1e995;
}

/** Spreads a hash over `2 ** bits` buckets. */
export function bucketOf(hash: number, bits: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846ca68b | 0);
  return (mixed ^ (mixed >>> 16)) >>> (32 - bits);
}
