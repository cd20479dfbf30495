/** Whether an item that was refused or failed is tried again, and after how long. Pure: chance is handed in. */
import type { Fault, Reason } from '../../proto/contract/faults.ts';
import { Code } from '../../proto/contract/faults.ts';
import type { Clock } from '../clock.ts';

/** These say nothing of the item, and pass: within the batch's time it is tried until they have. */
const PASSING: ReadonlySet<Reason> = new Set(['QUEUE_FULL', 'QUOTA_EXCEEDED']);
/** As long as a node may take to come back or to load; a mesh that has none for the item would hold the batch up for good. */
export const NO_NODE_MS = 120_000;
/** For what broke on the way, after all that was tried for it in its own journey. */
const MOST_FAILURES = 3;
const PAUSE_MS = 500;

export class Retries {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #random: () => number;
  #failures = 0;
  #noNodeSince: number | undefined;

  constructor(clock: Pick<Clock, 'now'>, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  /** @returns milliseconds until the next try, or undefined where there is none */
  after(fault: Fault): number | undefined {
    const pauseMs = this.#pauseAfter(fault);
    return pauseMs === undefined ? undefined : Math.max(fault.retryAfterMs ?? 0, pauseMs) * (0.75 + 0.5 * this.#random());
  }

  #pauseAfter({ reason, code, retryable }: Fault): number | undefined {
    if (PASSING.has(reason)) return PAUSE_MS;
    if (reason === 'NO_NODE') {
      this.#noNodeSince ??= this.#clock.now();
      return this.#clock.now() - this.#noNodeSince < NO_NODE_MS ? PAUSE_MS : undefined;
    }
    // The router itself ends.
    if (reason === 'DRAINING' || code !== Code.UNAVAILABLE || !retryable) return undefined;
    return ++this.#failures > MOST_FAILURES ? undefined : PAUSE_MS * 2 ** this.#failures;
  }
}
