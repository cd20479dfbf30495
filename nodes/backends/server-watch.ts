/** Looks after a server outside of this process, whose end no connection tells while nothing runs. */
import { toFault } from '../../proto/contract/faults.ts';

const EVERY_MS = 5_000;
/** One may be lost to a busy machine. */
const MISSES = 2;

export class ServerWatch {
  readonly #probe: () => Promise<unknown>;
  readonly #onLost: (message: string) => void;
  #timer: NodeJS.Timeout | undefined;
  #watching = false;
  #looking = false;
  #missed = 0;

  /**
   * @param probe rejects with a Fault where the server does not answer
   * @param onLost called once
   */
  constructor(probe: () => Promise<unknown>, onLost: (message: string) => void) {
    this.#probe = probe;
    this.#onLost = onLost;
  }

  start(): void {
    this.#watching = true;
    this.#timer = setTimeout(() => this.look(), EVERY_MS);
  }

  stop(): void {
    this.#watching = false;
    clearTimeout(this.#timer);
  }

  /** At once, because something has failed. */
  look(): void {
    if (!this.#watching || this.#looking) return;
    this.#looking = true;
    clearTimeout(this.#timer);
    void this.#look();
  }

  async #look(): Promise<void> {
    const message = await this.#probe().then(
      () => undefined,
      (thrown: unknown) => toFault(thrown).message,
    );
    this.#looking = false;
    this.#missed = message === undefined ? 0 : this.#missed + 1;
    if (!this.#watching) return;
    if (message !== undefined && this.#missed >= MISSES) {
      this.stop();
      this.#onLost(message);
    } else this.#timer = setTimeout(() => this.look(), message === undefined ? EVERY_MS : AGAIN_MS);
  }
}

const AGAIN_MS = 250;
