/** A scanned text's words and pairs of words -> the buckets of the linear heads, each once. Pure. */

import { bucketOf, pair } from './hashing.ts';
import type { Scan } from './scan.ts';
import { MOST_WORDS } from './scan.ts';

export const BUCKET_BITS = 15;
export const BUCKETS = 2 ** BUCKET_BITS;
export const MOST_BUCKETS = 2 * MOST_WORDS;

export class Buckets {
  count = 0;
  readonly list = new Uint16Array(MOST_BUCKETS);
  readonly #seen = new Int32Array(BUCKETS);
  #stamp = 0;

  /** Replaces the list by that of the scan. */
  fill(scan: Scan): void {
    this.count = 0;
    this.#stamp++;
    let before = 0;
    for (let index = 0; index < scan.words; index++) {
      const hash = scan.hash[index] as number;
      this.#add(hash);
      if (scan.first[index] === 0) this.#add(pair(before, hash));
      before = hash;
    }
  }

  #add(hash: number): void {
    const bucket = bucketOf(hash, BUCKET_BITS);
    if (this.#seen[bucket] === this.#stamp) return;
    this.#seen[bucket] = this.#stamp;
    this.list[this.count++] = bucket;
  }
}
