/**
 * Names under which a store may have what no longer holds, since it did not hear of a put or a delete. Nobody asks it for
 * them until it has been told again. Pure.
 */

/** What changes while a store is away for long; beyond, the oldest are forgotten, and may come back. */
const MOST_NAMES = 10_000;
/** That are not heard, in one round: a store may take some and refuse others. */
const MOST_REFUSED = 16;

/** Of one put or delete; a later one of the same name has another. */
export type Mark = object;

export class Unsettled {
  /** Told longest ago stands first. */
  readonly #marks = new Map<string, Mark>();
  #telling = false;

  get count(): number {
    return this.#marks.size;
  }

  has(name: string): boolean {
    return this.#marks.has(name);
  }

  add(name: string, mark: Mark = {}): Mark {
    this.#marks.delete(name);
    this.#marks.set(name, mark);
    const [oldest = name] = this.#marks.keys();
    if (this.#marks.size > MOST_NAMES) this.#marks.delete(oldest);
    return mark;
  }

  /** @param mark absent: whichever there is; else nothing happens where a later put or delete was not heard of either */
  settle(name: string, mark = this.#marks.get(name)): void {
    if (this.#marks.get(name) === mark) this.#marks.delete(name);
  }

  /** One name after the other; one round at a time. @param tell whether the store has heard what holds */
  async settleAll(tell: (name: string) => Promise<boolean>): Promise<void> {
    if (this.#telling) return;
    this.#telling = true;
    let refused = 0;
    for (const [name, mark] of [...this.#marks]) {
      if (refused === MOST_REFUSED) break;
      if (await tell(name)) this.settle(name, mark);
      else {
        refused++;
        if (this.#marks.get(name) === mark) this.add(name, mark);
      }
    }
    this.#telling = false;
  }
}
