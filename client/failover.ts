/**
 * Whether a call that ended early is made again, and when. Pure: chance is handed in.
 *
 *   nothing has come yet   another router may take the request, if there is one
 *   the stream broke       the answer goes on elsewhere, unless that keeps failing where it was
 *   going on was refused   tried again, also where all slots were busy: half an answer is worth its wait
 *
 * A new request that finds all slots busy is not tried again: the queues stand before the same nodes, and its caller knows
 * better than this library what else it could do. A router that knows no such model is believed, but not where another was
 * lost before: it may have just started, and its nodes are on their way.
 */
import type { Fault, Reason } from '../proto/contract/faults.ts';
import { Code } from '../proto/contract/faults.ts';

/** Calls in a row that fail without giving anything. */
export const MOST_TRIES = 8;
/** How often an answer goes on elsewhere without having come further by `PROGRESS_TOKENS` in between. */
export const MOST_RESUMES = 3;
export const PROGRESS_TOKENS = 8;

/** After a stream that broke, and twice as long after each call since that gave nothing; half of it is chance. */
const FIRST_PAUSE_MS = 40;
const LONGEST_PAUSE_MS = 1000;

/** The router has done what can be done about these on its nodes; one other router may try. */
const NODE_DIED: ReadonlySet<Reason> = new Set(['NODE_LOST', 'NODE_STALLED', 'ENGINE_CRASHED']);
const ROUTER_LOST: ReadonlySet<Reason> = new Set(['UNREACHABLE', 'DRAINING']);
const BUSY: ReadonlySet<Reason> = new Set(['QUEUE_FULL', 'QUOTA_EXCEEDED']);

export interface Failed {
  readonly fault: Fault;
  /** Something of the answer has come, in this call or an earlier one. */
  readonly begun: boolean;
  /** Something has come in this call. */
  readonly opened: boolean;
  /** Of the answer that have come. */
  readonly tokens: number;
  /** Of the deadline. */
  readonly remainingMs: number;
}

export type Next =
  | { readonly type: 'again'; readonly afterMs: number }
  /** With what the caller is told. */
  | { readonly type: 'end'; readonly fault: Fault };

export class Failover {
  readonly #others: boolean;
  readonly #random: () => number;
  #tries = 0;
  #resumes = 0;
  #mark = 0;
  #died = 0;
  #routerLost = false;
  /** What broke the stream, while nothing has come since. */
  #broke: Fault | undefined;

  constructor(routers: number, random: () => number) {
    this.#others = routers > 1;
    this.#random = random;
  }

  next(failed: Failed): Next {
    const end = this.#end(failed);
    if (end) return { type: 'end', fault: end };
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#tries) * (0.5 + this.#random() / 2);
    const { fault, remainingMs } = failed;
    const afterMs = BUSY.has(fault.reason) ? Math.max(pauseMs, fault.retryAfterMs ?? 0) : pauseMs;
    if (afterMs >= remainingMs) return { type: 'end', fault: this.#broke ?? fault };
    return { type: 'again', afterMs };
  }

  /** What ends the request, if anything does. */
  #end({ fault, begun, opened, tokens }: Failed): Fault | undefined {
    this.#routerLost ||= ROUTER_LOST.has(fault.reason);
    if (begun && opened) return this.#brokeOff(fault, tokens);
    if (begun) return this.#refused(fault);
    if (!this.#others || !(mayGoElsewhere(fault) || this.#isFresh(fault))) return fault;
    if (!this.#isLeft(fault)) return fault;
    return ++this.#tries >= MOST_TRIES ? fault : undefined;
  }

  /** Whether another router may know more of nodes than the one that gave up. */
  #isLeft({ reason }: Fault): boolean {
    return !NODE_DIED.has(reason) || (this.#others && ++this.#died === 1);
  }

  #brokeOff(fault: Fault, tokens: number): Fault | undefined {
    if (!mayGoElsewhere(fault)) return fault;
    if (tokens - this.#mark >= PROGRESS_TOKENS) this.#resumes = this.#died = 0;
    if (!this.#isLeft(fault)) return fault;
    this.#mark = tokens;
    this.#tries = 0;
    this.#broke = fault;
    return ++this.#resumes > MOST_RESUMES ? fault : undefined;
  }

  #refused(fault: Fault): Fault | undefined {
    const { reason } = fault;
    const changes = mayGoElsewhere(fault) || BUSY.has(reason) || this.#isFresh(fault);
    // Of a model that has begun the answer, the loss is what there is to tell.
    if (!changes) return reason === 'MODEL_NOT_FOUND' ? (this.#broke ?? fault) : fault;
    return ++this.#tries >= MOST_TRIES ? (this.#broke ?? fault) : undefined;
  }

  #isFresh({ reason }: Fault): boolean {
    return reason === 'MODEL_NOT_FOUND' && this.#routerLost;
  }
}

/** UNAVAILABLE, but for an answer that nobody can go on with. */
function mayGoElsewhere({ code, retryable, reason }: Fault): boolean {
  return code === Code.UNAVAILABLE && retryable && reason !== 'STREAM_NOT_RESUMABLE';
}
