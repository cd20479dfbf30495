/** Waiting, for a bounded time, until nothing is open any more: what the end of every server and link begins with. */
export class Drain {
  #onIdle: (() => void) | undefined;

  /** To be called each time the last of what was open has ended. */
  idle(): void {
    this.#onIdle?.();
  }

  /** Resolves at the next `idle()`, or after `limitMs`. To be called only while something is open. */
  async wait(limitMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, limitMs);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
