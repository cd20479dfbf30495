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

/** Since when a batch has found no node for items of a kind; else each of them would wait as long as the first. */
export class Absences {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #since = new Map<string, number>();

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  /** Another one found none. @returns milliseconds since the first */
  lasts(kind: string): number {
    const now = this.#clock.now();
    const since = this.#since.get(kind) ?? now;
    this.#since.set(kind, since);
    return now - since;
  }

  /** One was answered. */
  end(kind: string): void {
    this.#since.delete(kind);
  }
}

export interface RetriesParts {
  readonly clock: Pick<Clock, 'now'>;
  readonly random: () => number;
  readonly absences: Absences;
  /** Of the item. */
  readonly kind: string;
}

export class Retries {
  readonly #parts: RetriesParts;
  #failures = 0;
  #noNodeSince: number | undefined;

  constructor(parts: RetriesParts) {
    this.#parts = parts;
  }

  /** @returns milliseconds until the next try, or undefined where there is none */
  after(fault: Fault): number | undefined {
    const pauseMs = this.#pauseAfter(fault);
    return pauseMs === undefined ? undefined : Math.max(fault.retryAfterMs ?? 0, pauseMs) * (0.75 + 0.5 * this.#parts.random());
  }

  #pauseAfter({ reason, code, retryable }: Fault): number | undefined {
    if (PASSING.has(reason)) return PAUSE_MS;
    if (reason === 'NO_NODE') {
      const { clock, absences, kind } = this.#parts;
      this.#noNodeSince ??= clock.now();
      // Others of its kind may have been answered meanwhile.
      const lastsMs = Math.max(clock.now() - this.#noNodeSince, absences.lasts(kind));
      return lastsMs < NO_NODE_MS ? PAUSE_MS : undefined;
    }
    // The router itself ends.
    if (reason === 'DRAINING' || code !== Code.UNAVAILABLE || !retryable) return undefined;
    return ++this.#failures > MOST_FAILURES ? undefined : PAUSE_MS * 2 ** this.#failures;
  }
}
