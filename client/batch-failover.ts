/**
 * Whether what has no outcome yet is sent again when a call of a batch has ended, and when. Pure: chance is handed in.
 *
 *   nothing has ever come   another router may take the batch, if there is one
 *   something has come      the batch goes on, here or at another router, until calls have long brought nothing
 *   an item failed by what says nothing of it: its router ends, or had just begun and knew no such model yet; it is sent
 *                           again a few times
 */
import type { Fault } from '../proto/contract/faults.ts';
import { Code } from '../proto/contract/faults.ts';

/** How often an item is sent again that its router failed; with the pauses as long as nodes take to find a new router. */
const MOST_AGAIN = 6;
/** Calls in a row that bring nothing; with their pauses most of a minute. */
export const MOST_VAIN = 16;
/** Before anything has come, where there are several routers. */
export const MOST_FIRST = 8;
/** After a call that brought nothing, and twice as long after each since; half of it is chance. */
const FIRST_PAUSE_MS = 40;
const LONGEST_PAUSE_MS = 5000;

export class BatchFailover {
  readonly #routers: number;
  readonly #random: () => number;
  #vain = 0;
  #hasCome = false;
  #routerLost = false;

  /** @param routers 0: nothing is ever sent again */
  constructor(routers: number, random: () => number) {
    this.#routers = routers;
    this.#random = random;
  }

  /** An outcome has come. */
  came(): void {
    this.#hasCome = true;
    this.#vain = 0;
  }

  /**
   * A call has ended, and some have no outcome.
   * @param fault undefined: in order
   * @returns milliseconds until the next. @throws Fault where there is none
   */
  next(fault: Fault | undefined): number {
    if (fault && !this.#mayPass(fault)) throw fault;
    this.#routerLost ||= fault !== undefined;
    this.#vain++;
    if (fault && this.#vain >= this.#most) throw fault;
    return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#vain) * (0.5 + this.#random() / 2);
  }

  get #most(): number {
    if (this.#hasCome) return MOST_VAIN;
    return this.#routers > 1 ? MOST_FIRST : 1;
  }

  /** Whether a failure tells of a router and not of its item. @param times how often it was sent */
  isOfRouter({ reason }: Fault, times: number): boolean {
    if (this.#routers === 0 || times > MOST_AGAIN) return false;
    return reason === 'DRAINING' || (reason === 'MODEL_NOT_FOUND' && this.#routerLost);
  }

  #mayPass({ code, retryable }: Fault): boolean {
    return this.#routers > 0 && code === Code.UNAVAILABLE && retryable;
  }
}
