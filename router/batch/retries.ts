/** Whether an item that was refused or failed is tried again, and after how long. Pure: chance is handed in. */
import type { Fault, Reason } from '../../proto/contract/faults.ts';
import { Code } from '../../proto/contract/faults.ts';

/** These say nothing of the item, and pass: within the batch's time it is tried until they have. */
const PASSING: ReadonlySet<Reason> = new Set(['QUEUE_FULL', 'QUOTA_EXCEEDED', 'NO_NODE']);
/** For what broke on the way, after all that was tried for it in its own journey. */
const MOST_FAILURES = 3;
const PAUSE_MS = 500;

export class Retries {
  readonly #random: () => number;
  #failures = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** @returns milliseconds until the next try, or undefined where there is none */
  after({ reason, code, retryable, retryAfterMs }: Fault): number | undefined {
    // The router itself ends.
    if (reason === 'DRAINING') return undefined;
    const passing = PASSING.has(reason);
    if (!passing && (code !== Code.UNAVAILABLE || !retryable || ++this.#failures > MOST_FAILURES)) return undefined;
    const pauseMs = Math.max(retryAfterMs ?? 0, passing ? PAUSE_MS : PAUSE_MS * 2 ** this.#failures);
    return pauseMs * (0.75 + 0.5 * this.#random());
  }
}
