/** Slots that are kept back for a while, each by the work that a server had enough of. */

export class Parking<Work> {
  readonly #free: (work: Work) => void;
  readonly #ends = new Map<Work, { readonly at: number; readonly timer: NodeJS.Timeout }>();

  /** @param free called when the slot of the work may be used again */
  constructor(free: (work: Work) => void) {
    this.#free = free;
  }

  get size(): number {
    return this.#ends.size;
  }

  /** Milliseconds until the first of the slots that are kept back is free. */
  get freeInMs(): number {
    const first = Math.min(...[...this.#ends.values()].map(({ at }) => at));
    return Math.max(0, first - performance.now());
  }

  has(work: Work): boolean {
    return this.#ends.has(work);
  }

  keep(work: Work, forMs: number): void {
    const end = () => {
      this.#ends.delete(work);
      this.#free(work);
    };
    clearTimeout(this.#ends.get(work)?.timer);
    this.#ends.set(work, { at: performance.now() + forMs, timer: setTimeout(end, forMs) });
  }

  /** Nobody is to be freed any more. */
  stop(): void {
    for (const { timer } of this.#ends.values()) clearTimeout(timer);
  }
}
