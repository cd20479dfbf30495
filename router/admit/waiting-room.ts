/**
 * Where requests wait for a slot, in the order they came, one line per target. The caller bounds the lines: a request
 * that would wait behind too many is refused with a hint when to come back.
 *
 * Lines may wait for the same slots. Of the heads of all lines the one that came first looks first, so that no line
 * starves another; a head that sees no slot holds up only those behind it, who want the same.
 */
import { Fault, toFault } from '../../proto/contract/faults.ts';
import type { Clock } from '../clock.ts';
import { Pace } from './pace.ts';

/** What became of another look: admitted, still no slot, or no use waiting any longer. */
export type Look<T> =
  | { readonly type: 'admitted'; readonly value: T }
  | { readonly type: 'busy' }
  | { readonly type: 'refused'; readonly fault: Fault };

interface Waiter<T> {
  /** Of all that ever waited here, the how manieth. */
  readonly arrival: number;
  readonly look: () => Look<T>;
  readonly settle: (look: Exclude<Look<T>, { type: 'busy' }>) => void;
}

const MIN_RETRY_MS = 50;
const MAX_RETRY_MS = 10_000;

export class WaitingRoom<T> {
  readonly #lines = new Map<string, Set<Waiter<T>>>();
  readonly #pace: Pace;
  readonly #random: () => number;
  #arrivals = 0;

  constructor(clock: Clock, random: () => number) {
    this.#pace = new Pace(clock);
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

  /**
   * Waits in the line of `key` until `look` says something else than busy. Whoever calls has looked at how long it is.
   * @throws Fault what `look` refused with, or the signal's reason
   */
  wait(key: string, look: () => Look<T>, signal: AbortSignal): Promise<T> {
    if (signal.aborted) return Promise.reject(signal.reason);
    const line = this.#lines.get(key) ?? new Set();
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
        arrival: this.#arrivals++,
        look,
        settle: (seen) => {
          leave();
          if (seen.type === 'refused') return reject(seen.fault);
          this.#pace.departed(key);
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

  /** Lets everyone look again, whoever came first before the others; who sees no slot stops the line behind. */
  lookAgain(): void {
    const moving = new Set<Line<T>>(this.#lines.values());
    for (;;) {
      const next = firstOf(moving);
      if (!next) return;
      const { line, head } = next;
      const seen = lookOf(head);
      if (seen.type === 'busy') moving.delete(line);
      else head.settle(seen);
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
}

type Line<T> = ReadonlySet<Waiter<T>>;

/** The head of all these lines that came first. */
function firstOf<T>(lines: ReadonlySet<Line<T>>): { readonly line: Line<T>; readonly head: Waiter<T> } | undefined {
  let first: { readonly line: Line<T>; readonly head: Waiter<T> } | undefined;
  for (const line of lines) {
    const [head] = line;
    if (head && (!first || head.arrival < first.head.arrival)) first = { line, head };
  }
  return first;
}

/** A look that throws is a defect, which ends one waiter and leaves the others alone. */
function lookOf<T>({ look }: Waiter<T>): Look<T> {
  try {
    return look();
  } catch (thrown) {
    return { type: 'refused', fault: toFault(thrown) };
  }
}
