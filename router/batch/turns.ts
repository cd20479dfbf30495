/**
 * Where the items of one batch stand that were refused for now. The first of them goes again when its time has come; and
 * with every item that is answered two more do. So a batch that meets a full line or a used-up quota asks at the pace at
 * which it is let in, and is back at its full rate a few answers after that has passed, instead of asking for all of its
 * items again and again.
 */
import type { Clock } from '../clock.ts';

const PER_ANSWER = 2;

interface Waiting {
  readonly afterMs: number;
  /** @param goes false: it is not tried again */
  readonly settle: (goes: boolean) => void;
}

export class Turns {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #queue: Waiting[] = [];
  #stopTimer: (() => void) | undefined;
  #stopped = false;

  constructor(clock: Pick<Clock, 'after'>) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#queue.length;
  }

  /** Resolves when it is to be tried again, or with false when nothing is any more. */
  wait(afterMs: number): Promise<boolean> {
    if (this.#stopped) return Promise.resolve(false);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#queue.push({ afterMs, settle: resolve });
    this.#watch();
    return promise;
  }

  /** An item was answered: there is room again. */
  answered(): void {
    for (let i = 0; i < PER_ANSWER; i++) this.#queue.shift()?.settle(true);
    this.#watch();
  }

  stop(): void {
    this.#stopped = true;
    for (const { settle } of this.#queue.splice(0)) settle(false);
    this.#watch();
  }

  #watch(): void {
    const [first] = this.#queue;
    if (!first) {
      this.#stopTimer?.();
      this.#stopTimer = undefined;
      return;
    }
    this.#stopTimer ??= this.#clock.after(first.afterMs, () => {
      this.#stopTimer = undefined;
      this.#queue.shift()?.settle(true);
      this.#watch();
    });
  }
}
