/** Passes values from several who have some to one who takes them; who gives waits until its value is taken. */
export class HandOver<T> {
  readonly #given: { readonly value: T; readonly taken: () => void }[] = [];
  #closed: { readonly thrown?: unknown } | undefined;
  #wake: () => void = () => {};

  /** Resolves when it is taken, or nobody takes any more. */
  give(value: T): Promise<void> {
    if (this.#closed) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#given.push({ value, taken: resolve });
    this.#wake();
    return promise;
  }

  /** Undefined when no more will come. @throws what it was closed with */
  async take(): Promise<T | undefined> {
    while (this.#given.length === 0 && !this.#closed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const next = this.#given.shift();
    if (next) {
      next.taken();
      return next.value;
    }
    if (this.#closed && 'thrown' in this.#closed) throw this.#closed.thrown;
    return undefined;
  }

  close(end: { readonly thrown?: unknown } = {}): void {
    this.#closed ??= end;
    this.#wake();
  }

  /** Nobody takes any more. */
  abandon(): void {
    this.close();
    for (const { taken } of this.#given.splice(0)) taken();
  }
}
