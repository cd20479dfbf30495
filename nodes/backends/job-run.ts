/**
 * A job's life in a backend, the same for every engine that this project schedules itself:
 *
 *   queued -> running -> ended, or queued -> ended
 *
 * with "aborted" and "paused" as wishes that the engine's loop reads between two tokens.
 */
import type { Reason } from '../../proto/contract/faults.ts';
import { Fault } from '../../proto/contract/faults.ts';
import type { FinishReason, Usage } from '../../proto/gen/infermesh/v1/types.ts';
import type { Outcome, Run, Sink, Timings } from './backend.ts';
import type { Piece } from './text-assembler.ts';

export type Failure = Extract<Outcome, { type: 'failure' }>;

export const failure = (reason: Reason, message: string, retryAfterMs?: number): Failure => ({
  type: 'failure',
  reason,
  message,
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
});
/** To be thrown, as of loading. */
export const asFault = ({ reason, message, retryAfterMs }: Failure) => new Fault(reason, message, { retryAfterMs });
export const finish = (reason: FinishReason, usage: Usage): Outcome => ({ type: 'finish', reason, usage });

/** Milliseconds, monotonic. */
export type Clock = () => number;

export interface EngineTimes {
  readonly prefillMs?: number | undefined;
  readonly decodeMs?: number | undefined;
}

export class JobRun implements Run {
  readonly #sink: Sink;
  readonly #clock: Clock;
  readonly #onWish: (run: JobRun) => void;
  readonly #queuedAt: number;
  #startedAt: number | undefined;
  #firstTokenAt: number | undefined;
  #ended = false;
  #aborted: Failure | undefined;
  #paused = false;
  #wake: (() => void) | undefined;
  #tokens: number;

  /**
   * @param onWish called after each cancel, pause and resume that changed something
   * @param delivered tokens of the answer that came before this job
   */
  constructor(sink: Sink, clock: Clock, onWish: (run: JobRun) => void, delivered = 0) {
    this.#sink = sink;
    this.#tokens = delivered;
    this.#clock = clock;
    this.#onWish = onWish;
    this.#queuedAt = clock();
  }

  /** Why the job must stop; undefined while it may go on. */
  get aborted(): Failure | undefined {
    return this.#aborted;
  }

  get paused(): boolean {
    return this.#paused;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Of the answer so far, those delivered before this job with them. */
  get tokens(): number {
    return this.#tokens;
  }

  cancel(): void {
    this.abort(failure('CANCELLED', 'cancelled'));
  }

  abort(why: Failure): void {
    if (this.#ended || this.#aborted) return;
    this.#aborted = why;
    this.#wakeUp();
    this.#onWish(this);
  }

  pause(): void {
    if (this.#ended || this.#paused) return;
    this.#paused = true;
    this.#onWish(this);
  }

  resume(): void {
    if (this.#ended || !this.#paused) return;
    this.#paused = false;
    this.#wakeUp();
    this.#onWish(this);
  }

  /** Resolves when the job is resumed or aborted. One waiter at a time. */
  released(): Promise<void> {
    if (!this.#paused || this.#aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** The job got its slot. */
  begin(slot: number): void {
    this.#startedAt = this.#clock();
    this.#sink.prefilling(slot);
  }

  /** Counts a token that the engine gave. */
  token(): void {
    this.#firstTokenAt ??= this.#clock();
    this.#tokens++;
  }

  deliver(piece: Piece): void {
    this.#sink.delta(piece.seq, piece.tokens, piece.text, piece.tokenIds);
  }

  /**
   * Ends the job; once is enough, later calls do nothing.
   * @param told what an engine of its own clock says; the rest of the time before the first token counts as its queue's
   */
  end(outcome: Outcome, told: EngineTimes = {}): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#sink.end(outcome, this.#tokens, this.#timings(told));
  }

  #timings({ prefillMs = Number.POSITIVE_INFINITY, decodeMs }: EngineTimes): Timings {
    const now = this.#clock();
    const started = this.#startedAt ?? now;
    const first = this.#firstTokenAt ?? now;
    const prefill = Math.min(prefillMs, first - started);
    return { queueMs: first - prefill - this.#queuedAt, prefillMs: prefill, decodeMs: decodeMs ?? now - first };
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
