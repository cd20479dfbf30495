/**
 * Why a request may end before its answer does, as one abort signal whose reason is always a fault: the client left,
 * the deadline passed, or the router decided so. The first reason stands.
 */
import { Fault } from '../proto/contract/faults.ts';
import { HOP_MARGIN_MS } from '../proto/transport/deadline.ts';
import type { ClientStream } from '../proto/transport/event-stream.ts';
import type { Clock } from './clock.ts';

const TIMER_SLACK_MS = 10;

const deadlinePassed = () => new Fault('DEADLINE_EXCEEDED', 'the deadline passed before the answer ended');

export class Cut implements Disposable {
  readonly #controller = new AbortController();
  readonly #clock: Clock;
  readonly #stream: ClientStream;
  #stopTimer: () => void = () => {};
  #deadlineAt = Number.POSITIVE_INFINITY;

  readonly #onDispose: () => void;

  constructor(stream: ClientStream, clock: Clock, onDispose: () => void) {
    this.#clock = clock;
    this.#stream = stream;
    this.#onDispose = onDispose;
    stream.onGone = () =>
      this.abort(this.#expired() ? deadlinePassed() : new Fault('CANCELLED', 'the client left before the answer ended'));
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** By the router's clock; infinite until `at` has told it. */
  get deadlineAt(): number {
    return this.#deadlineAt;
  }

  /**
   * Ends it a little before the deadline, so that the client hears why before its own timer cuts the call.
   * @param deadlineAt by the router's clock
   */
  at(deadlineAt: number): void {
    this.#deadlineAt = deadlineAt;
    const remaining = deadlineAt - this.#clock.now();
    this.#stopTimer = this.#clock.after(remaining - Math.min(HOP_MARGIN_MS, remaining / 2), () => this.abort(deadlinePassed()));
  }

  /** The transport has a timer for the same deadline, which may be the first of the two to fire. */
  #expired(): boolean {
    return this.#clock.now() >= this.#deadlineAt - TIMER_SLACK_MS;
  }

  abort(fault: Fault): void {
    if (!this.signal.aborted) this.#controller.abort(fault);
  }

  [Symbol.dispose](): void {
    this.#stopTimer();
    this.#stream.onGone = () => {};
    this.#onDispose();
  }
}
