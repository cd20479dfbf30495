/** A text as the classifier sees it: its buckets, its shape, and what the linear heads say to it. Pure. */
import type { Heads } from './heads.ts';
import { applyHeads } from './heads.ts';
import { Scan } from './scan.ts';
import { SHAPES, shapeOf } from './shape.ts';
import { Buckets } from './words.ts';

/** Buffers that are used again: what is read stays valid until the next text is. */
export class Reader {
  readonly buckets = new Buckets();
  readonly shape = new Float32Array(SHAPES.length);
  readonly #scan = new Scan();

  read(text: string): void {
    this.#scan.scan(text);
    shapeOf(this.#scan, this.shape);
    this.buckets.fill(this.#scan);
  }

  /** Shape, then heads. @param out as long as both */
  dense(heads: Heads, out: Float32Array): void {
    out.set(this.shape);
    applyHeads(heads, this.buckets.list, 0, this.buckets.count, out, SHAPES.length);
  }
}
