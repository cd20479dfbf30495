/** One request that reads along while an answer is generated for it and its equals. */
import type { Fault } from '../../proto/contract/faults.ts';
import type { Finished, Started } from '../../proto/gen/infermesh/v1/inference.ts';
import type { ClientStream } from '../../proto/transport/event-stream.ts';
import type { Clock } from '../clock.ts';
import type { Closing, Recording } from './reader.ts';
import { Reader } from './reader.ts';

/** What becomes of a member that follows. */
export type Turn =
  /** It has read all of the answer. */
  | { readonly type: 'finished'; readonly finished: Finished }
  | { readonly type: 'failed'; readonly fault: Fault }
  /** It is the leader now. */
  | { readonly type: 'lead' };

/** What its members see of a flight. */
export interface Shared extends Recording {
  /** Who answers, as the first token told it. */
  readonly started: Started | undefined;
  /** A member's client is gone, or too slow. */
  left(member: Member): void;
  /** A member took something. */
  taken(member: Member): void;
}

export interface MemberParts {
  readonly stream: ClientStream;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  /** By the router's clock. */
  readonly deadlineAt: number;
  /** Its own words for who answers. */
  readonly opening: (started: Started) => Buffer;
  /** Its own words for the end. @param leads whether it was generated for this one */
  readonly closing: (finished: Finished, leads: boolean) => Closing;
}

export class Member {
  readonly reader: Reader;
  readonly deadlineAt: number;
  readonly #flight: Shared;
  readonly #parts: MemberParts;
  readonly #turns: Turn[] = [];
  #waiting: ((turn: Turn) => void) | undefined;
  #finished: Finished | undefined;

  constructor(flight: Shared, parts: MemberParts) {
    this.#flight = flight;
    this.#parts = parts;
    this.deadlineAt = parts.deadlineAt;
    const { stream, clock } = parts;
    this.reader = new Reader({
      stream,
      clock,
      recording: flight,
      opening: () => flight.started && parts.opening(flight.started),
      onTaken: () => flight.taken(this),
    });
    void this.reader.done.then((reading) => {
      flight.left(this);
      if (reading.type === 'left') this.turn({ type: 'failed', fault: reading.fault });
      else this.turn({ type: 'finished', finished: this.#finished as Finished });
    });
  }

  /** What becomes of it next. */
  next(): Promise<Turn> {
    const turn = this.#turns.shift();
    if (turn) return Promise.resolve(turn);
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  /** Its client is gone, or its deadline has passed. */
  leave(fault: Fault): void {
    this.reader.leave(fault);
    // At once: the promise that tells of it comes a little later, and who joins meanwhile must not wait for nobody.
    this.#flight.left(this);
  }

  /** @internal of its flight */
  turn(turn: Turn): void {
    if (this.#waiting) this.#waiting(turn);
    else this.#turns.push(turn);
    this.#waiting = undefined;
  }

  /** @internal of its flight */
  close(finished: Finished, leads: boolean): void {
    this.#finished = finished;
    this.reader.close(this.#parts.closing(finished, leads));
  }
}
