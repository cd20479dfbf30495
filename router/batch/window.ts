/**
 * How many items of a batch are at work at the same time. Pure.
 *
 * Where the batch does not say, half as many again as there are slots for what its items ask: engines that read and
 * generate for several at once are then never short of work, since the next one stands in line when a slot comes free, and
 * the lines, which hold four for each slot, are not filled. While others use the same models, it leaves them the slots
 * that they used at most lately: whoever comes next then finds one free, instead of waiting for an item to end.
 */
import { MOST_AT_ONCE } from '../../proto/contract/batch-bounds.ts';
import type { Clock } from '../clock.ts';
import type { Item } from './items.ts';

/** How long what others used is left to them. */
const LATELY_MS = 10_000;
const PER_SLOT = 1.5;

/** Of the models that may do what the batch asks for, on all nodes. */
export interface Load {
  readonly slots: number;
  /** Requests that hold a slot or wait for one. */
  readonly busy: number;
  /** Items that these models may be doing, of all batches. */
  readonly running: number;
  /** That have some of them. */
  readonly batches: number;
}

export interface WindowParts {
  readonly load: (working: ReadonlySet<Item>) => Load;
  readonly clock: Pick<Clock, 'now'>;
}

export class Window {
  readonly #parts: WindowParts;
  #others = 0;
  #othersAt = Number.NEGATIVE_INFINITY;

  constructor(parts: WindowParts) {
    this.#parts = parts;
  }

  /**
   * Items that may be at work now; at least one.
   * @param wanted as the batch says @param working those that are
   */
  size(wanted: number | undefined, working: ReadonlySet<Item>): number {
    return wanted ?? Math.min(MOST_AT_ONCE, Math.max(1, this.#adapted(working)));
  }

  #adapted(working: ReadonlySet<Item>): number {
    const { slots, busy, running, batches } = this.#parts.load(working);
    const others = this.#lately(Math.max(0, busy - running));
    const all = others === 0 ? slots * PER_SLOT : slots - others;
    return Math.ceil(all / Math.max(1, batches));
  }

  /** The most of the last while. */
  #lately(others: number): number {
    const now = this.#parts.clock.now();
    if (others >= this.#others || now - this.#othersAt > LATELY_MS) {
      this.#others = others;
      this.#othersAt = now;
    }
    return this.#others;
  }
}
