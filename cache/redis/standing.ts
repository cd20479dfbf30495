/** What is told of Redis: each change once, and of an outage the first reason. Pure. */
import type { Clock } from '../clock.ts';
import type { CircuitState } from './circuit.ts';
import { Refusals } from './refusals.ts';

/** up: reads and writes. limited: reads, but refuses writes. down: is not asked. */
export interface RedisChange {
  readonly state: 'up' | 'limited' | 'down';
  /** A code of Redis or of the system, LATE, LOST or OTHER; empty when up. */
  readonly reason: string;
}

export class Standing {
  readonly refusals: Refusals;
  readonly #onChange: (change: RedisChange) => void;
  #told: RedisChange | undefined;
  #over = false;
  /** Why it is down, or will be said to be. */
  reason = 'LATE';

  constructor(clock: Pick<Clock, 'now'>, onChange: (change: RedisChange) => void) {
    this.refusals = new Refusals(clock);
    this.#onChange = onChange;
  }

  /** What was told last; undefined: nothing yet. */
  get told(): RedisChange | undefined {
    return this.#told;
  }

  /** Tells of what it is now, unless that was told. A suspect is as it was. */
  tell(circuit: CircuitState): void {
    const refusal = this.refusals.code;
    const change: RedisChange =
      circuit === 'down'
        ? { state: 'down', reason: this.reason }
        : { state: refusal === undefined ? 'up' : 'limited', reason: refusal ?? '' };
    const isKnown = change.state === this.#told?.state && (change.state === 'down' || change.reason === this.#told.reason);
    if (this.#over || isKnown) return;
    this.#told = change;
    this.#onChange(change);
  }

  end(): void {
    this.#over = true;
  }
}
