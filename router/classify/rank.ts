/** How much a strong model is expected to gain over a weak one. Pure. */
import { MIXTURE_AT } from './features.ts';
import { POOLED_GAIN } from './mixture.ts';
import type { Forest } from './trees.ts';
import { evaluate } from './trees.ts';

/** Of the gain that the heads expect; the trees learn the rest. */
const HEADS_SHARE = 0.5;

/** What the trees need not learn. @param dense as the trees see a text, from `from` on */
export function headsGain(dense: Float32Array, from: number): number {
  return HEADS_SHARE * (dense[from + MIXTURE_AT + POOLED_GAIN] as number);
}

export function rankOf(forest: Forest, dense: Float32Array, from: number): number {
  return headsGain(dense, from) + evaluate(forest, dense, from);
}
