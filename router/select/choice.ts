/** The values between judging and picking; a logged decision is made of the same, so that it can be made again. */
import type { Belief } from './belief.ts';

/** One candidate with what it is judged by, in natural units. */
export interface Judged {
  readonly node: string;
  readonly model: string;
  readonly quality: Belief;
  /** Of the whole answer, in US dollars. */
  readonly costUsd: number;
  /** Until the last token, on the grid of what an estimate can tell apart. */
  readonly latencyMs: number;
  /** 0 to 1. */
  readonly diversity: number;
}
