/** What a layer puts into the store that routers share and deletes there: behind its requests, and again until it is heard. */
import type { Store } from './port.ts';
import { Unsettled } from './unsettled.ts';
import type { Write, Writer } from './writer.ts';

export interface SharedStore {
  readonly store: Store;
  readonly writer: Writer;
}

/** What holds. */
export interface Sealed {
  readonly sealed: Buffer;
  readonly ttlMs: number;
}

export class Outgoing {
  readonly #shared: SharedStore;
  readonly #isRetold: boolean;
  readonly #unsettled = new Unsettled();

  /** @param isRetold whether a value that is lost on its way is worse than another in its place, and told again */
  constructor(shared: SharedStore, isRetold: boolean) {
    this.#shared = shared;
    this.#isRetold = isRetold;
  }

  /** Whether the store may have what no longer holds. */
  isUnsettled(name: string): boolean {
    return this.#unsettled.has(name);
  }

  /** @param onWritten unless it is lost */
  write(write: Omit<Write, 'onEnd'>, onWritten: () => void): void {
    this.#unsettled.settle(write.name);
    const onEnd = (isWritten: boolean) => {
      if (isWritten) onWritten();
      else if (this.#isRetold) this.#unsettled.add(write.name);
    };
    this.#shared.writer.write({ ...write, onEnd });
  }

  /** @returns how many there were, as far as is known */
  async delete(name: string): Promise<number> {
    this.#shared.writer.forget(name);
    const mark = this.#unsettled.add(name);
    const count = await this.#shared.store.delete([name]);
    if (count === 'unknown') return 0;
    this.#unsettled.settle(name, mark);
    return count;
  }

  /** What is on its way and begins so. */
  forgetAll(prefix: string): void {
    this.#shared.writer.forgetAll(prefix);
  }

  /** Tells what was not heard of. @param held what holds under a name; undefined: nothing */
  settle(held: (name: string) => Sealed | undefined): Promise<void> {
    const { store } = this.#shared;
    return this.#unsettled.settleAll(async (name) => {
      const now = held(name);
      return now ? store.set(name, now.sealed, now.ttlMs) : (await store.delete([name])) !== 'unknown';
    });
  }
}
