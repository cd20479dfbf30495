/**
 * Lets the running sequences step together: each decode has the next token of all of them, in the order of their slots.
 * Pure.
 *
 * By itself the library decodes what has come by the time it looks, and whose token was sampled last is not there yet.
 * That costs twice: this one takes part in every other decode only, and llama.cpp computes sequences together only where
 * they follow upon each other without a gap, so that the rest needs two passes over the weights. The library also keeps
 * its lock as long as anything waits to be decoded: a new job that has to clear its slot would wait until the others end.
 * Between two steps nothing waits, and the lock is free.
 */
export interface Place extends Disposable {
  /** Resolves when all who run have come as far. To be called before each decode: the others wait for this one from now on. */
  turn(): Promise<void>;
  /** Until its next turn nobody waits for it. */
  rest(): void;
}

export class Lockstep<Sequence> {
  readonly #order: readonly Sequence[];
  readonly #running = new Set<Sequence>();
  readonly #waiting = new Map<Sequence, () => void>();

  /** @param order of all sequences there are */
  constructor(order: readonly Sequence[]) {
    this.#order = order;
  }

  /** One at a time for each sequence. */
  place(sequence: Sequence): Place {
    const rest = () => {
      this.#running.delete(sequence);
      this.#stepIfAllAreHere();
    };
    return {
      rest,
      [Symbol.dispose]: rest,
      turn: () =>
        new Promise((resolve) => {
          this.#running.add(sequence);
          this.#waiting.set(sequence, resolve);
          this.#stepIfAllAreHere();
        }),
    };
  }

  #stepIfAllAreHere(): void {
    if (this.#waiting.size < this.#running.size) return;
    const waiting = new Map(this.#waiting);
    this.#waiting.clear();
    // Who came last has yet to wait for its promise, and would go on behind all the others.
    queueMicrotask(() => {
      for (const sequence of this.#order) waiting.get(sequence)?.();
    });
  }
}
