/**
 * Where requests wait for a slot, one line per target; line.ts tells in which order. The caller bounds the lines: a
 * request that would wait behind too many is refused with a hint when to come back, unless it may take the place of one
 * whose tenant has more than its share.
 *
 * Lines may wait for the same slots, so they take turns: the one that was served last looks last. In a line, whoever sees
 * no slot holds up those behind it, who want the same. So a freed slot costs one look per line, however long the lines are.
 */
import { Fault, toFault } from '../../proto/contract/faults.ts';
import type { Clock } from '../clock.ts';
import type { InLine, Place } from './line.ts';
import { Line } from './line.ts';
import { Pace } from './pace.ts';

/** What became of another look: admitted, still no slot, or no use waiting any longer. */
export type Look<T> =
  | { readonly type: 'admitted'; readonly value: T }
  | { readonly type: 'busy' }
  | { readonly type: 'refused'; readonly fault: Fault };

/** Who waits, and for how long that makes sense. */
export interface Who extends Place {
  /** By the router's clock. */
  readonly deadlineAt: number;
  /** The least that its first token takes once it has a slot. */
  readonly firstTokenMs: number;
}

interface Waiter<T> extends InLine {
  readonly place: Who;
  readonly look: () => Look<T>;
  readonly settle: (look: Exclude<Look<T>, { type: 'busy' }>) => void;
}

const MIN_RETRY_MS = 50;
const MAX_RETRY_MS = 10_000;
/** How often those are sought who wait in vain. */
const SWEEP_MS = 250;
/** Of those in the middle of a stream, each of whom may need another node, so many of a line look for one freed slot. */
const MIGRANTS_LOOKING = 8;

export class WaitingRoom<T> {
  /** The line that was served last stands last. */
  readonly #lines = new Map<string, Line<Waiter<T>>>();
  readonly #pace: Pace;
  readonly #clock: Clock;
  readonly #random: () => number;
  #stopSweeping: (() => void) | undefined;

  constructor(clock: Clock, random: () => number) {
    this.#pace = new Pace(clock);
    this.#clock = clock;
    this.#random = random;
  }

  get size(): number {
    let size = 0;
    for (const line of this.#lines.values()) size += line.size;
    return size;
  }

  /** How many wait in the line of `key`. */
  lengthOf(key: string): number {
    return this.#lines.get(key)?.size ?? 0;
  }

  /** Whether someone waits in the line, whom a newcomer may not overtake. */
  hasLine(key: string): boolean {
    return this.#lines.has(key);
  }

  /** Whether one more may wait in a line of at most so many, be it in the place of one who then has to go. */
  hasRoom(key: string, most: number, place: Pick<Place, 'tenant' | 'priority'>): boolean {
    const line = this.#lines.get(key);
    return (line?.size ?? 0) < most || line?.outranked(place) !== undefined;
  }

  /**
   * Waits in the line of `key` until `look` says something else than busy. Where the line has `most` already, another
   * one has to go for it: see `hasRoom`.
   * @throws Fault what `look` refused with, the signal's reason, QUEUE_FULL if it had to go for another, or
   *   DEADLINE_EXCEEDED as soon as its first token can't come in time
   */
  wait(key: string, who: Who, look: () => Look<T>, signal: AbortSignal, most = Number.POSITIVE_INFINITY): Promise<T> {
    if (signal.aborted) return Promise.reject(signal.reason);
    const line = this.#lineOf(key);
    if (line.size >= most) line.outranked(who)?.settle({ type: 'refused', fault: this.full(key) });
    return new Promise<T>((resolve, reject) => {
      const leave = (admitted: boolean) => {
        signal.removeEventListener('abort', onAbort);
        line.remove(waiter, admitted);
        if (admitted) this.#served(key, line);
        if (line.size === 0) this.#close(key);
      };
      const onAbort = () => {
        leave(false);
        reject(signal.reason);
      };
      const waiter: Waiter<T> = {
        place: who,
        since: this.#clock.now(),
        look,
        settle: (seen) => {
          leave(seen.type === 'admitted');
          if (seen.type === 'refused') reject(seen.fault);
          else resolve(seen.value);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      line.add(waiter);
      // Its predecessor may have been the only one here.
      this.#open(key, line);
    });
  }

  /** Lets those look again whose turn it is, those in the middle of a stream first. */
  lookAgain(): void {
    for (const line of [...this.#lines.values()]) this.#letMigrantsLook(line);
    const moving = [...this.#lines.values()];
    for (let line = moving.shift(); line; line = moving.shift()) {
      const { head } = line;
      if (!head) continue;
      const seen = lookOf(head);
      if (seen.type === 'busy') continue;
      head.settle(seen);
      if (seen.type === 'admitted') moving.push(line);
      else moving.unshift(line);
    }
  }

  /**
   * The refusal of one more in the line of `key`: come back when it will have moved up by half, with jitter so that the
   * refused don't come back together.
   */
  full(key: string): Fault {
    const length = this.lengthOf(key);
    const wait = (this.#pace.of(key) * length * (0.75 + 0.5 * this.#random())) / 2;
    const retryAfterMs = Math.min(MAX_RETRY_MS, Math.max(MIN_RETRY_MS, wait));
    return new Fault('QUEUE_FULL', `all slots are taken and ${length} requests wait already`, { retryAfterMs });
  }

  #letMigrantsLook(line: Line<Waiter<T>>): void {
    let left = Math.min(MIGRANTS_LOOKING, line.migrants);
    for (let { migrant } = line; migrant && left > 0; { migrant } = line) {
      const seen = lookOf(migrant);
      if (seen.type === 'busy') {
        line.passOver(migrant);
        left--;
      } else migrant.settle(seen);
    }
  }

  #lineOf(key: string): Line<Waiter<T>> {
    return this.#lines.get(key) ?? new Line();
  }

  #open(key: string, line: Line<Waiter<T>>): void {
    if (this.#lines.has(key)) return;
    this.#lines.set(key, line);
    this.#pace.began(key);
    this.#stopSweeping ??= this.#clock.every(SWEEP_MS, () => this.#sweep());
  }

  #served(key: string, line: Line<Waiter<T>>): void {
    this.#pace.departed(key);
    this.#lines.delete(key);
    this.#lines.set(key, line);
  }

  #close(key: string): void {
    this.#lines.delete(key);
    this.#pace.emptied(key);
    if (this.#lines.size > 0) return;
    this.#stopSweeping?.();
    this.#stopSweeping = undefined;
  }

  /**
   * Sends those away whose first token can't come before their deadline. By the pace of their line that is guesswork, and
   * a refusal is final: only half of the wait counts that those before it will take.
   */
  #sweep(): void {
    const now = this.#clock.now();
    for (const [key, line] of [...this.#lines]) {
      const pace = this.#pace.measured(key) ?? 0;
      for (const [{ place, settle }, ahead] of [...line]) {
        const remainingMs = place.deadlineAt - now;
        const leastMs = place.firstTokenMs + (pace * ahead) / 2;
        if (remainingMs < leastMs) settle({ type: 'refused', fault: tooLate(leastMs, remainingMs) });
      }
    }
  }
}

function tooLate(firstTokenMs: number, remainingMs: number): Fault {
  const [least, left] = [Math.round(firstTokenMs), Math.max(0, Math.round(remainingMs))];
  return new Fault(
    'DEADLINE_EXCEEDED',
    `no slot came free in time: its first token takes ${least} ms, the deadline is in ${left} ms`,
  );
}

/** A look that throws is a defect, which ends one waiter and leaves the others alone. */
function lookOf<T>({ look }: Waiter<T>): Look<T> {
  try {
    return look();
  } catch (thrown) {
    return { type: 'refused', fault: toFault(thrown) };
  }
}
