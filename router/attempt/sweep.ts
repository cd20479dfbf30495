/** Looks at every running attempt some twenty times a second, so that no token has to set a timer. */
import type { Clock } from '../clock.ts';
import { TICK_MS } from '../patience/gaps.ts';

export interface Swept {
  /** Another `TICK_MS` have passed. */
  tick(): void;
}

export class Sweep {
  readonly #clock: Clock;
  readonly #swept = new Set<Swept>();
  #stop: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @returns the removal */
  add(one: Swept): () => void {
    this.#swept.add(one);
    // A timer that comes late comes once: time in which the router itself stood still counts against nobody.
    this.#stop ??= this.#clock.every(TICK_MS, () => {
      for (const each of this.#swept) each.tick();
    });
    return () => {
      this.#swept.delete(one);
      if (this.#swept.size > 0) return;
      this.#stop?.();
      this.#stop = undefined;
    };
  }
}
