/**
 * How much more than its requests a router may ask of its nodes. Pure. Without a bound, the retries of an outage are a
 * load of their own, which keeps what recovers from recovering.
 */
import type { Clock } from '../clock.ts';
import { once } from '../once.ts';

const RETRY_SHARE = 0.2;
const LEAST_RETRIES = 3;

/** Retries that may run at once: a fifth of the active requests, and three at least. */
export class RetryBudget {
  #taken = 0;

  /** Requests that are in a retry now. */
  get taken(): number {
    return this.#taken;
  }

  /**
   * @param active requests that are open now, the one that asks among them
   * @returns to be disposed when the retry is over, which gives it back once; undefined when there is none to be had
   */
  tryTake(active: number): Disposable | undefined {
    if (this.#taken >= Math.max(LEAST_RETRIES, Math.floor(RETRY_SHARE * active))) return undefined;
    this.#taken++;
    return once(() => {
      this.#taken--;
    });
  }
}

const HEDGE_SHARE = 0.02;
const WINDOW_S = 60;

/** Hedges of the last 60 s: at most 2 % of the requests of that time, and none while the mesh is loaded. */
export class HedgeBudget {
  readonly #clock: Clock;
  readonly #requests = new Seconds(WINDOW_S - 1);
  /** A second more, so that no window has more than its share wherever in a second it begins. */
  readonly #hedges = new Seconds(WINDOW_S);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A request has come, which may or may not hedge. */
  request(): void {
    this.#requests.add(this.#second());
  }

  /** @param loaded whether requests wait for slots, so that a hedge would take another's place */
  tryTake(loaded: boolean): boolean {
    const second = this.#second();
    if (loaded || this.#hedges.sum(second) + 1 > HEDGE_SHARE * this.#requests.sum(second)) return false;
    this.#hedges.add(second);
    return true;
  }

  #second(): number {
    return Math.floor(this.#clock.now() / 1000);
  }
}

/** Counts of the current second and of so many before it. */
class Seconds {
  readonly #counts: number[];
  #latest = Number.NEGATIVE_INFINITY;
  #sum = 0;

  constructor(before: number) {
    this.#counts = new Array(before + 1).fill(0);
  }

  add(second: number): void {
    this.#turn(second);
    const place = this.#place(second);
    this.#counts[place] = (this.#counts[place] as number) + 1;
    this.#sum++;
  }

  sum(second: number): number {
    this.#turn(second);
    return this.#sum;
  }

  /** Forgets what has fallen out of the window since it was last looked at. */
  #turn(second: number): void {
    const { length } = this.#counts;
    for (let old = Math.max(second - length, this.#latest) + 1; old <= second; old++) {
      const place = this.#place(old);
      this.#sum -= this.#counts[place] as number;
      this.#counts[place] = 0;
    }
    this.#latest = Math.max(this.#latest, second);
  }

  /** Of a window that reaches back before second 0, too. */
  #place(second: number): number {
    const { length } = this.#counts;
    return ((second % length) + length) % length;
  }
}
