/** How fast each line moves, as measured by its latest departures. */
import type { Clock } from '../clock.ts';

/** How many departures of a line are kept. */
const KEPT = 16;
/** What is older says nothing of the load now. */
const FORGET_AFTER_MS = 30_000;
/** Between departures, for a line that nobody has left of late. */
const UNKNOWN_PACE_MS = 1000;

export class Pace {
  readonly #clock: Clock;
  /** Times of departure, oldest first; the line that moved last stands last. */
  readonly #departures = new Map<string, readonly number[]>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Lines that are remembered. */
  get size(): number {
    return this.#departures.size;
  }

  /** Somebody has left the line and got in. */
  departed(line: string): void {
    const times = [...this.#latest(line), this.#clock.now()].slice(-KEPT);
    this.#departures.delete(line);
    this.#departures.set(line, times);
    this.#forget();
  }

  /** Milliseconds from one departure to the next. */
  of(line: string): number {
    this.#forget();
    const times = this.#latest(line);
    const [first] = times;
    return first === undefined ? UNKNOWN_PACE_MS : (this.#clock.now() - first) / times.length;
  }

  #latest(line: string): readonly number[] {
    const since = this.#clock.now() - FORGET_AFTER_MS;
    return (this.#departures.get(line) ?? []).filter((time) => time >= since);
  }

  #forget(): void {
    const since = this.#clock.now() - FORGET_AFTER_MS;
    for (const [line, times] of this.#departures) {
      if ((times.at(-1) ?? since) >= since) return;
      this.#departures.delete(line);
    }
  }
}
