/**
 * What follows a failed attempt. Pure; one of these for each request.
 *
 *   nothing delivered    another attempt, up to 3 in all, while the failure is the node's and not the request's
 *   something delivered  another node goes on behind it, as long as the answer makes progress
 *   poison               an attempt whose engine dies before the answer is 8 tokens further than any attempt before it
 *                        brought it is a strike; two end the request, so that no prompt takes a third engine with it
 *
 * Who gives a request back unharmed, because it drains or is full, costs neither a strike nor one of the three.
 */
import type { Reason } from '../../proto/contract/faults.ts';
import { Fault } from '../../proto/contract/faults.ts';

export const PROGRESS_TOKENS = 8;
export const MOST_STRIKES = 2;
/** In a row, without progress. */
export const MOST_FRUITLESS = 3;
/** A mesh that hands a request round for ever does not answer it. */
export const MOST_MOVES = 16;

export type Step =
  /** `soon`: at once; else after a jittered pause, so that a wave of failures is no wave of retries. */
  { readonly type: 'again'; readonly soon: boolean } | { readonly type: 'refuse'; readonly fault: Fault };

/** The engine or its node died under it. */
const DEATHS: ReadonlySet<Reason> = new Set(['NODE_LOST', 'ENGINE_CRASHED']);
/** It gave nothing any more. */
const STALLS: ReadonlySet<Reason> = new Set(['NODE_STALLED']);
/** It never began, or was handed back. */
const RETURNS: ReadonlySet<Reason> = new Set(['DRAINING', 'QUEUE_FULL', 'MODEL_NOT_FOUND', 'NO_ROOM']);

export class Survival {
  #highWater: number;
  #strikes = 0;
  #fruitless = 0;
  #moves = 0;

  /** @param delivered tokens that the client has from before */
  constructor(delivered = 0) {
    this.#highWater = delivered;
  }

  /** Engines that died on it without progress. */
  get strikes(): number {
    return this.#strikes;
  }

  /** @param tokens of the whole answer that were delivered when the attempt failed */
  failed(fault: Fault, tokens: number): Step {
    const died = DEATHS.has(fault.reason);
    if (!died && !STALLS.has(fault.reason) && !RETURNS.has(fault.reason)) return { type: 'refuse', fault };
    if (++this.#moves >= MOST_MOVES) return { type: 'refuse', fault };
    if (RETURNS.has(fault.reason)) return { type: 'again', soon: tokens > 0 };
    const progress = tokens >= this.#highWater + PROGRESS_TOKENS;
    this.#highWater = Math.max(this.#highWater, tokens);
    this.#fruitless = progress ? 0 : this.#fruitless + 1;
    if (died && !progress && ++this.#strikes >= MOST_STRIKES) return { type: 'refuse', fault: poison() };
    if (this.#fruitless >= MOST_FRUITLESS) return { type: 'refuse', fault };
    return { type: 'again', soon: tokens > 0 };
  }
}

export const poison = () => new Fault('POISON_SUSPECTED', 'engines died on this request; it is not tried again for ten minutes');
