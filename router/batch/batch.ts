/**
 * One call of Batch.
 *
 *   reading -> closing -> ended     the client has sent all, the time is over, the router drains, or a request came that
 *      |          |                 can't be told from others: nothing more is read, what is at work ends, then the call
 *      `----------`----> gone       the client has left: everything is cancelled
 *
 * A request is read only when there is a place for it: in the window, in the bytes that are held for the client, and not
 * while others of the batch wait for their next try. So a client that sends a million items, or never reads what became of
 * them, is held up by flow control and costs no more than a window of items.
 */
import type { Fault } from '../../proto/contract/faults.ts';
import { toFault } from '../../proto/contract/faults.ts';
import type { ClientStream } from '../../proto/transport/event-stream.ts';
import type { CallContext } from '../../proto/transport/handlers.ts';
import type { Incoming } from '../../proto/transport/incoming.ts';
import type { Clock } from '../clock.ts';
import type { Begin, Errand, Runnable } from './errands.ts';
import type { Item } from './items.ts';
import { Items, kindOf } from './items.ts';
import type { Outcome } from './outcome.ts';
import { failure, outcomeBytes } from './outcome.ts';
import { Absences, Retries } from './retries.ts';
import { Turns } from './turns.ts';
import type { Window } from './window.ts';

/** Requests that are at work, and outcomes that the client has not taken. */
export const MOST_HELD_BYTES = 8 << 20;

export interface BatchParts {
  readonly clock: Pick<Clock, 'now' | 'after'>;
  readonly random: () => number;
  readonly requests: Pick<Incoming, 'next' | 'stop'>;
  readonly stream: ClientStream;
  readonly context: CallContext;
  /** When items are to have ended, by the router's clock. */
  readonly deadlineAt: number;
  readonly begin: Begin;
  /** How many items may be at work. */
  readonly window: Pick<Window, 'size'>;
}

export class Batch {
  readonly #parts: BatchParts;
  readonly #items = new Items();
  readonly #turns: Turns;
  readonly #absences: Absences;
  readonly #errands = new Map<Errand, Runnable>();
  /** Whose outcome is open. */
  readonly #working = new Set<Item>();
  #heldBytes = 0;
  #isReading = true;
  /** What the call ends with, where not all was read. */
  #fault: Fault | undefined;
  #closed: Fault | undefined;
  #wake: () => void = () => {};

  constructor(parts: BatchParts) {
    this.#parts = parts;
    this.#turns = new Turns(parts.clock);
    this.#absences = new Absences(parts.clock);
    parts.stream.onGone = () => this.#leave();
    parts.stream.onRelease = () => this.#wake();
  }

  /** Items that are being done, without those that wait for another try. */
  get running(): Iterable<Runnable> {
    return this.#errands.values();
  }

  /** Resolves when the call has ended. @throws Fault INTERNAL for a defect, with the call still to be ended */
  async run(): Promise<void> {
    const { stream } = this.#parts;
    try {
      await this.#read();
      this.#isReading = false;
    } catch (thrown) {
      this.#stopReading(toFault(thrown));
    }
    while (this.#working.size > 0) await this.#change();
    if (this.#fault?.reason === 'INTERNAL') throw this.#fault;
    if (this.#fault) stream.fail(this.#fault);
    else stream.end();
  }

  /** Reads nothing more and tries nothing again; what is being done may end. @param fault what ends the call, unless all was read */
  close(fault: Fault): void {
    this.#closed = fault;
    this.#stopReading(fault);
    this.#turns.stop();
  }

  #stopReading(fault: Fault | undefined): void {
    if (this.#isReading) this.#fault = fault;
    this.#isReading = false;
    this.#parts.requests.stop();
    this.#wake();
  }

  #leave(): void {
    this.#stopReading(undefined);
    this.#turns.stop();
    for (const errand of this.#errands.keys()) errand.cancel();
  }

  async #read(): Promise<void> {
    const { requests } = this.#parts;
    for (;;) {
      while (this.#isReading && !this.#hasRoom()) await this.#change();
      const request = this.#isReading ? await requests.next() : undefined;
      if (!request) return;
      const item = this.#items.read(request);
      this.#working.add(item);
      this.#heldBytes += request.length;
      void this.#work(item).then((outcome) => {
        this.#heldBytes -= request.length;
        this.#done(item, outcome);
      });
    }
  }

  #hasRoom(): boolean {
    const { stream, window } = this.#parts;
    if (this.#turns.size > 0 || stream.held + this.#heldBytes > MOST_HELD_BYTES) return false;
    return this.#working.size === 0 || this.#working.size < window.size(this.#items.window, this.#working);
  }

  /** Resolves when something is as it was not before. */
  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async #work(item: Item): Promise<Outcome> {
    try {
      if (item.type === 'refused') return failure(item.fault);
      return await this.#tried(item);
    } catch (thrown) {
      return failure(toFault(thrown));
    }
  }

  /** @throws Fault of the last try */
  async #tried(item: Runnable): Promise<Outcome> {
    const kind = kindOf(item);
    const retries = new Retries({ ...this.#parts, absences: this.#absences, kind });
    for (;;) {
      try {
        const outcome = await this.#once(item);
        this.#turns.answered();
        this.#absences.end(kind);
        return outcome;
      } catch (thrown) {
        const fault = toFault(thrown);
        const afterMs = retries.after(fault);
        if (afterMs === undefined) throw fault;
        const goes = await this.#turns.wait(afterMs);
        // Of a router that ends the client may ask another one; for what it was refused, else, it has waited in vain.
        if (!goes) throw this.#closed?.reason === 'DRAINING' ? this.#closed : fault;
        this.#wake();
      }
    }
  }

  async #once(item: Runnable): Promise<Outcome> {
    const { begin, context, deadlineAt, clock } = this.#parts;
    const errand = begin(item, { ...context, remainingMs: Math.max(0, deadlineAt - clock.now()) });
    this.#errands.set(errand, item);
    try {
      return await errand.outcome;
    } finally {
      this.#errands.delete(errand);
    }
  }

  #done(item: Item, outcome: Outcome): void {
    this.#working.delete(item);
    this.#parts.stream.write(outcomeBytes(item.id, outcome), true);
    this.#wake();
  }
}
