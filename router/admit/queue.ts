/**
 * A queue that anybody may leave from anywhere. Both ends are found at once, which a Set does not promise: it steps over
 * the places of those that left.
 */
interface Link<W> {
  readonly waiter: W;
  before: Link<W> | undefined;
  behind: Link<W> | undefined;
}

export class Queue<W> {
  readonly #links = new Map<W, Link<W>>();
  #first: Link<W> | undefined;
  #last: Link<W> | undefined;

  get size(): number {
    return this.#links.size;
  }

  get first(): W | undefined {
    return this.#first?.waiter;
  }

  get last(): W | undefined {
    return this.#last?.waiter;
  }

  *[Symbol.iterator](): Generator<W> {
    for (let link = this.#first; link; link = link.behind) yield link.waiter;
  }

  /** Puts it last. */
  add(waiter: W): void {
    const link: Link<W> = { waiter, before: this.#last, behind: undefined };
    if (this.#last) this.#last.behind = link;
    else this.#first = link;
    this.#last = link;
    this.#links.set(waiter, link);
  }

  /** @returns whether it was there */
  delete(waiter: W): boolean {
    const link = this.#links.get(waiter);
    if (!link) return false;
    const { before, behind } = link;
    if (before) before.behind = behind;
    else this.#first = behind;
    if (behind) behind.before = before;
    else this.#last = before;
    return this.#links.delete(waiter);
  }
}
