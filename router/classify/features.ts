/** A text as the trees see it: its shape, and the mixture of what the linear heads say. Pure. */
import type { Heads } from './heads.ts';
import { applyHeads } from './heads.ts';
import type { SubjectMeans } from './mixture.ts';
import { mix, mixtureSize } from './mixture.ts';
import { Scan } from './scan.ts';
import { SHAPES, shapeOf } from './shape.ts';
import { WordRows } from './words.ts';

/** Where the mixture starts in what the trees see. */
export const MIXTURE_AT = SHAPES.length;

export function denseSize(means: SubjectMeans): number {
  return MIXTURE_AT + mixtureSize(means);
}

/** Buffers that are used again: what is read stays valid until the next text is. */
export class Reader {
  readonly rows = new WordRows();
  readonly shape = new Float32Array(SHAPES.length);
  readonly #scan = new Scan();
  #logits = new Float32Array(0);

  read(text: string): void {
    this.#scan.scan(text);
    shapeOf(this.#scan, this.shape);
    this.rows.fill(this.#scan);
  }

  /** @param out of `denseSize` */
  dense(heads: Heads, means: SubjectMeans, out: Float32Array): void {
    if (this.#logits.length !== heads.bias.length) this.#logits = new Float32Array(heads.bias.length);
    out.set(this.shape);
    applyHeads(heads, this.rows.list, this.rows.halves, 0, this.rows.count, this.#logits, 0);
    mix(means, this.#logits, 0, out, MIXTURE_AT);
  }
}
