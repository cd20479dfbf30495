/** Calls that wait for Redis: each for so long, all of them for no longer than Redis is asked, and not more than so many. */
import type { Clock } from '../clock.ts';

/** Commands without a reply, and the bytes of their arguments; more is not asked. */
export const MOST_COMMANDS = 1_000;
export const MOST_BYTES = 32 << 20;
const NUMBER_BYTES = 8;

export type Argument = string | number | Buffer;

export class Calls {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #onLate: () => void;
  /** Ends every call that waits. */
  readonly #waiting = new Set<() => void>();
  #commands = 0;
  #bytes = 0;
  made = 0;
  /** Of those made, the ones that brought nothing. */
  failed = 0;
  /** Those that were not made. */
  skipped = 0;

  /** @param onLate told of each call whose time is over, before it ends */
  constructor(clock: Pick<Clock, 'after'>, onLate: () => void) {
    this.#clock = clock;
    this.#onLate = onLate;
  }

  get isFull(): boolean {
    return this.#commands >= MOST_COMMANDS;
  }

  /** Never rejects. @returns undefined when there is no answer in time */
  make<Answer>(call: () => Promise<Answer>, limitMs: number): Promise<Answer | undefined> {
    this.made++;
    return new Promise((resolve) => {
      const end = (answer: Answer | undefined) => {
        if (!this.#waiting.delete(giveUp)) return;
        cancel();
        resolve(answer);
      };
      const giveUp = () => {
        if (this.#waiting.has(giveUp)) this.failed++;
        end(undefined);
      };
      this.#waiting.add(giveUp);
      const cancel = whenOver(this.#clock, limitMs, () => {
        if (!this.#waiting.has(giveUp)) return;
        this.#onLate();
        giveUp();
      });
      begin(call).then(end, giveUp);
    });
  }

  giveUpAll(): void {
    for (const giveUp of [...this.#waiting]) giveUp();
  }

  /** Sends a command if there is room for it. @throws what the sending does, or that too much waits */
  async send(args: readonly Argument[], send: () => Promise<unknown>): Promise<unknown> {
    const bytes = args.reduce<number>((sum, arg) => sum + (typeof arg === 'number' ? NUMBER_BYTES : arg.length), 0);
    if (this.isFull || this.#bytes + bytes > MOST_BYTES) throw new Error('too much waits for Redis');
    this.#commands++;
    this.#bytes += bytes;
    try {
      return await send();
    } finally {
      this.#commands--;
      this.#bytes -= bytes;
    }
  }
}

/**
 * When the time is over and what has arrived meanwhile has been read: a process that stood still blames nobody.
 * @returns the cancel
 */
export function whenOver(clock: Pick<Clock, 'after'>, ms: number, run: () => void): () => void {
  return clock.after(ms, () => setImmediate(run));
}

/** What is thrown before there is a promise is a rejection too. */
async function begin<Answer>(call: () => Promise<Answer>): Promise<Answer> {
  return call();
}
