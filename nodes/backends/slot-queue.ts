/**
 * Who works and who waits: a fixed number of slots with one first-in-first-out queue before them. Pure.
 *
 * Freeing a slot and handing it on are two calls, so that a job's end can be told while its slot is free and before the
 * next job takes it.
 */
export class SlotQueue<Slot, Work> {
  readonly #free: Set<Slot>;
  readonly #waiting = new Set<Work>();
  readonly #running = new Map<Work, Slot>();
  readonly #pick: (free: ReadonlySet<Slot>, work: Work) => Slot;
  readonly #start: (slot: Slot, work: Work) => void;

  /**
   * @param pick which of the free slots (at least one) suits the work best
   * @param start called when a slot was given; must not throw
   */
  constructor(
    slots: Iterable<Slot>,
    pick: (free: ReadonlySet<Slot>, work: Work) => Slot,
    start: (slot: Slot, work: Work) => void,
  ) {
    this.#free = new Set(slots);
    this.#pick = pick;
    this.#start = start;
  }

  get slots(): number {
    return this.#free.size + this.#running.size;
  }

  get waiting(): ReadonlySet<Work> {
    return this.#waiting;
  }

  get running(): ReadonlyMap<Work, Slot> {
    return this.#running;
  }

  add(work: Work): void {
    this.#waiting.add(work);
    this.handOn();
  }

  /** @returns false when the work no longer waits. */
  leave(work: Work): boolean {
    return this.#waiting.delete(work);
  }

  free(work: Work): void {
    const slot = this.#running.get(work);
    if (slot === undefined) return;
    this.#running.delete(work);
    this.#free.add(slot);
  }

  /** Gives free slots to those who wait, in their order. */
  handOn(): void {
    for (const work of this.#waiting) {
      if (this.#free.size === 0) return;
      const slot = this.#pick(this.#free, work);
      this.#free.delete(slot);
      this.#waiting.delete(work);
      this.#running.set(work, slot);
      this.#start(slot, work);
    }
  }
}
