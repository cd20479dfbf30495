/**
 * How fast each line moves while somebody waits in it. Pure.
 *
 * Both the departures and the time in which they came fade, by a factor of e in `MEMORY_MS`; their ratio is the pace. So a
 * line that has become slower or faster is known to be within seconds, departures that come many at once count as what
 * they are on the average, and a time in which nobody waited says nothing.
 */
import type { Clock } from '../clock.ts';

const MEMORY_MS = 10_000;
/** A line in which nobody has waited for so long is forgotten. */
const FORGET_AFTER_MS = 30_000;
/** Between departures, before there was one. */
const UNKNOWN_PACE_MS = 1000;
/** With less than this left of its departures, a line is as slow as it has stood still. */
const ENOUGH = 0.5;
/** What something final may be decided by. */
const MANY = 4;

interface Movement {
  departures: number;
  waitedMs: number;
  /** When the two were last faded. */
  at: number;
  waiting: boolean;
}

const NOT_MOVED = { departures: 0, waitedMs: 0 };

export class Pace {
  readonly #clock: Clock;
  /** The line in which somebody began or ended to wait last stands last. */
  readonly #lines = new Map<string, Movement>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Lines that are remembered. */
  get size(): number {
    return this.#lines.size;
  }

  /** Somebody waits in a line where nobody did. */
  began(line: string): void {
    this.#forget();
    const known = this.#lines.get(line);
    const movement = known ?? { departures: 0, waitedMs: 0, at: 0, waiting: true };
    movement.at = this.#clock.now();
    movement.waiting = true;
    this.#lines.delete(line);
    this.#lines.set(line, movement);
  }

  /** Nobody waits in the line any more. */
  emptied(line: string): void {
    const movement = this.#faded(line);
    if (!movement) return;
    movement.waiting = false;
    this.#lines.delete(line);
    this.#lines.set(line, movement);
  }

  /** Somebody has left the line and got in. */
  departed(line: string): void {
    const movement = this.#faded(line);
    if (movement) movement.departures++;
  }

  /** Milliseconds from one departure to the next, as far as is known. */
  of(line: string): number {
    this.#forget();
    const { departures, waitedMs } = this.#faded(line) ?? NOT_MOVED;
    return departures < ENOUGH ? Math.max(UNKNOWN_PACE_MS, waitedMs) : waitedMs / departures;
  }

  /** The same, or undefined without enough departures to build on. */
  measured(line: string): number | undefined {
    const { departures, waitedMs } = this.#faded(line) ?? NOT_MOVED;
    return departures < MANY ? undefined : waitedMs / departures;
  }

  #faded(line: string): Movement | undefined {
    const movement = this.#lines.get(line);
    if (!movement?.waiting) return movement;
    const now = this.#clock.now();
    const kept = Math.exp((movement.at - now) / MEMORY_MS);
    movement.departures *= kept;
    movement.waitedMs = movement.waitedMs * kept + MEMORY_MS * (1 - kept);
    movement.at = now;
    return movement;
  }

  #forget(): void {
    const since = this.#clock.now() - FORGET_AFTER_MS;
    for (const [line, { at, waiting }] of this.#lines) {
      if (waiting) continue;
      if (at >= since) return;
      this.#lines.delete(line);
    }
  }
}
