/** What the layers of a cache stand on, for tests. */
import type { Store, Stored } from '../../cache/port.ts';
import { FakeClock } from '../support/clock.ts';

/** A store that several caches share, like Redis. A test looks into it, breaks it, and holds its answers back. */
export class FakeRedis implements Store {
  readonly kind = 'redis';
  readonly values = new Map<string, Buffer>();
  readonly ttls = new Map<string, number>();
  /** It answers nothing, and takes nothing. */
  isDown = false;
  /** Names that it says nothing of. */
  readonly isSilentOf = new Set<string>();
  reads = 0;
  readonly #leases = new Map<string, string>();
  #gate: PromiseWithResolvers<void> | undefined;

  /** From now on nothing is read or written before the release. */
  hold(): () => void {
    this.#gate = Promise.withResolvers<void>();
    const { resolve } = this.#gate;
    return () => {
      this.#gate = undefined;
      resolve();
    };
  }

  async get(name: string) {
    const [value] = await this.getAll([name]);
    return value;
  }

  async getAll(names: readonly string[]): Promise<Stored[]> {
    this.reads++;
    const found = names.map((name) => (this.isDown || this.isSilentOf.has(name) ? 'unknown' : this.values.get(name)));
    await this.#gate?.promise;
    return found;
  }

  async set(name: string, value: Buffer, ttlMs: number) {
    await this.#gate?.promise;
    if (this.isDown) return false;
    this.values.set(name, value);
    this.ttls.set(name, ttlMs);
    return true;
  }

  async delete(names: readonly string[]): Promise<number | 'unknown'> {
    return this.isDown ? 'unknown' : names.filter((name) => this.values.delete(name)).length;
  }

  async take(name: string, owner: string) {
    if (this.isDown) return 'unknown';
    const holder = this.#leases.get(name) ?? owner;
    this.#leases.set(name, holder);
    return holder === owner ? 'taken' : 'busy';
  }

  async giveUp(name: string, owner: string) {
    if (this.#leases.get(name) === owner) this.#leases.delete(name);
  }

  async purge(prefix: string) {
    const count = await this.delete([...this.values.keys()].filter((name) => name.startsWith(prefix)));
    return count === 'unknown' ? 0 : count;
  }

  async [Symbol.asyncDispose]() {}
}

export { FakeClock };

/** Everything that was begun and waits for nothing has happened. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}
