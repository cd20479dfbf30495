/**
 * Where requests wait for a slot, in the order they came, one line per target. The lines are bounded: a request that
 * would wait behind too many is refused with a hint when to come back.
 */
import { Fault } from '../../proto/contract/faults.ts';
import type { Clock } from '../clock.ts';

/** What became of another look: admitted, still no slot, or no use waiting any longer. */
export type Look<T> =
  | { readonly type: 'admitted'; readonly value: T }
  | { readonly type: 'busy' }
  | { readonly type: 'refused'; readonly fault: Fault };

interface Waiter<T> {
  readonly look: () => Look<T>;
  readonly settle: (look: Exclude<Look<T>, { type: 'busy' }>) => void;
}

/** How many of the last departures the rate is taken from. */
const DRAIN_WINDOW = 16;
const MIN_RETRY_MS = 50;
const MAX_RETRY_MS = 10_000;

export class WaitingRoom<T> {
  readonly #lines = new Map<string, Set<Waiter<T>>>();
  readonly #departures = new Map<string, number[]>();
  readonly #clock: Clock;
  readonly #random: () => number;

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  get size(): number {
    let size = 0;
    for (const line of this.#lines.values()) size += line.size;
    return size;
  }

  /**
   * Waits in the line of `key` until `look` says something else than busy.
   * @param bound how many may wait in this line
   * @throws Fault QUEUE_FULL, what `look` refused with, or the signal's reason
   */
  wait(key: string, bound: number, look: () => Look<T>, signal: AbortSignal): Promise<T> {
    if (signal.aborted) return Promise.reject(signal.reason);
    const line = this.#lines.get(key) ?? new Set();
    if (line.size >= bound) return Promise.reject(this.#full(key, line.size));
    this.#lines.set(key, line);
    return new Promise<T>((resolve, reject) => {
      const leave = () => {
        signal.removeEventListener('abort', onAbort);
        line.delete(waiter);
        if (line.size === 0) this.#lines.delete(key);
      };
      const onAbort = () => {
        leave();
        reject(signal.reason);
      };
      const waiter: Waiter<T> = {
        look,
        settle: (seen) => {
          leave();
          if (seen.type === 'refused') return reject(seen.fault);
          this.#departed(key);
          resolve(seen.value);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      line.add(waiter);
    });
  }

  /** Whether someone waits in the line, whom a newcomer may not overtake. */
  hasLine(key: string): boolean {
    return this.#lines.has(key);
  }

  /** Lets everyone look again, the first of each line first; who still sees no slot stops the line behind. */
  lookAgain(): void {
    for (const line of [...this.#lines.values()]) {
      for (const waiter of line) {
        const seen = waiter.look();
        if (seen.type === 'busy') break;
        waiter.settle(seen);
      }
    }
  }

  #departed(key: string): void {
    const times = this.#departures.get(key) ?? [];
    times.push(this.#clock.now());
    if (times.length > DRAIN_WINDOW) times.shift();
    this.#departures.set(key, times);
  }

  /** When the line will have moved up by half, with jitter so that the refused don't come back together. */
  #full(key: string, length: number): Fault {
    const times = this.#departures.get(key) ?? [];
    const first = times[0];
    const pace = first === undefined ? 1000 : (this.#clock.now() - first) / times.length;
    const retryAfterMs = Math.min(MAX_RETRY_MS, Math.max(MIN_RETRY_MS, (pace * length) / 2)) * (0.75 + 0.5 * this.#random());
    return new Fault('QUEUE_FULL', `all slots are taken and ${length} requests wait already`, { retryAfterMs });
  }
}
