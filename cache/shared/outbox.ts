/**
 * Events on their way to the other routers, in batches with numbers. A batch that may or may not have been written is
 * written again as it was, under the same number, so that who reads it reads it once. Pure.
 */
import type { Batch } from './wire.ts';

/** Waiting; the oldest give way. */
const MOST_EVENTS = 1024;

export class Outbox {
  #waiting: unknown[] = [];
  #sending: Batch | undefined;
  #sent = 0;
  /** Called when a batch is made, for what else is to be in it: what must not give way waits with whoever made it. */
  more: () => readonly unknown[] = () => [];
  /** Events that gave way to newer ones. */
  dropped = 0;

  /** Number of the last batch that is written; 0: none yet. */
  get sent(): number {
    return this.#sent;
  }

  add(events: readonly unknown[]): void {
    this.#waiting.push(...events.slice(-MOST_EVENTS));
    const over = this.#waiting.length - MOST_EVENTS;
    if (over <= 0) return;
    this.#waiting = this.#waiting.slice(over);
    this.dropped += over;
  }

  /** @returns what is to be written; undefined: nothing */
  next(): Batch | undefined {
    if (this.#sending) return this.#sending;
    const events = [...this.more(), ...this.#waiting];
    if (events.length === 0) return undefined;
    this.#waiting = [];
    this.#sending = { batch: this.#sent + 1, events };
    return this.#sending;
  }

  /** It is written for certain. */
  wrote(): void {
    if (!this.#sending) return;
    this.#sent = this.#sending.batch;
    this.#sending = undefined;
  }
}
