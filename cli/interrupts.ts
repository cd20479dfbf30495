/**
 * How a command is told to end: SIGINT (Ctrl-C), SIGTERM, SIGHUP, or the end of the process that started it. The first
 * asks for an orderly end, the second ends at once.
 */

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** One Ctrl-C comes from the terminal and again from each launcher in between, such as npm; no one types that fast. */
const ECHO_MS = 300;
/** As shells report it: 128 + SIGINT. */
export const INTERRUPTED = 130;

export class Interrupts implements Disposable {
  readonly #controller = new AbortController();
  readonly #listener = () => this.#interrupt();
  #second: () => void = () => process.exit(INTERRUPTED);
  #lastAt = -Infinity;

  constructor() {
    for (const signal of SIGNALS) process.on(signal, this.#listener);
    process.on('disconnect', this.#listener);
    // Only listening for the launcher's end must not keep this process alive.
    process.channel?.unref();
    if (process.connected === false) this.#controller.abort();
  }

  /** Aborted by the first. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Replaces what the second does, which is to exit. */
  onSecond(listener: () => void): void {
    this.#second = listener;
  }

  #interrupt(): void {
    const now = performance.now();
    const echo = now - this.#lastAt < ECHO_MS;
    this.#lastAt = now;
    if (!this.signal.aborted) this.#controller.abort();
    else if (!echo) this.#second();
  }

  [Symbol.dispose](): void {
    for (const signal of SIGNALS) process.off(signal, this.#listener);
    process.off('disconnect', this.#listener);
  }
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
