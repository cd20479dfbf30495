/** Who works on what goes one after the other, in the order in which they came; who works on different things does not wait. Pure. */

export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  /** Whether somebody works on it, or waits to. */
  taken(name: string): boolean {
    return this.#last.has(name);
  }

  /**
   * @param names all that `work` is about; where none is taken it begins before this returns
   * @param onWait called where it has to wait
   */
  async take<Result>(names: readonly string[], work: () => Promise<Result>, onWait?: () => void): Promise<Result> {
    const before = names.flatMap((name) => this.#last.get(name) ?? []);
    const turn = Promise.withResolvers<void>();
    // All at once, so that two who want the same names in another order never wait for each other.
    for (const name of names) this.#last.set(name, turn.promise);
    try {
      if (before.length > 0) {
        onWait?.();
        await Promise.all(before);
      }
      return await work();
    } finally {
      for (const name of names) if (this.#last.get(name) === turn.promise) this.#last.delete(name);
      turn.resolve();
    }
  }
}
