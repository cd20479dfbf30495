/** Slots that are kept back for a while, each by the work that a server had enough of. */

export class Parking<Work> {
  readonly #free: (work: Work) => void;
  readonly #ends = new Map<Work, NodeJS.Timeout>();
  #freeAgainAt = 0;

  /** @param free called when the slot of the work may be used again */
  constructor(free: (work: Work) => void) {
    this.#free = free;
  }

  get size(): number {
    return this.#ends.size;
  }

  /** Milliseconds until the slot that was kept back last is free. */
  get freeInMs(): number {
    return Math.max(0, this.#freeAgainAt - performance.now());
  }

  has(work: Work): boolean {
    return this.#ends.has(work);
  }

  keep(work: Work, forMs: number): void {
    const end = () => {
      this.#ends.delete(work);
      this.#free(work);
    };
    clearTimeout(this.#ends.get(work));
    this.#freeAgainAt = performance.now() + forMs;
    this.#ends.set(work, setTimeout(end, forMs));
  }

  /** Nobody is to be freed any more. */
  stop(): void {
    for (const timer of this.#ends.values()) clearTimeout(timer);
  }
}
