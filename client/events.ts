/** What a chat gives, as a union that a switch can tell apart. */
import type { Delta, Finished, Started } from '../proto/gen/infermesh/v1/inference.ts';

export type ChatEvent =
  /** First, once: who answers, and why. */
  | ({ readonly type: 'started' } & Started)
  /** Any number: a piece of the answer, whole code points. */
  | ({ readonly type: 'delta' } & Delta)
  /** Last, once: usage, cost and timings. */
  | ({ readonly type: 'finished' } & Finished);

/** What a whole answer came to. */
export interface Answer {
  readonly text: string;
  readonly started: Extract<ChatEvent, { type: 'started' }>;
  readonly finished: Extract<ChatEvent, { type: 'finished' }>;
}
