/** The store of a router without a Redis: names and values in its own memory, the least recently used go first. */
import { LRUCache } from 'lru-cache';
import type { Clock } from './clock.ts';
import { lruTime, wholeMs } from './clock.ts';
import type { Store } from './port.ts';

/** Beside name and value: the lists that an entry is in. */
const ENTRY_BYTES = 256;

export class MemoryStore implements Store {
  readonly kind = 'memory';
  readonly #entries: LRUCache<string, Buffer>;

  /** @param limit in bytes, over 0 */
  constructor(limit: number, clock: Pick<Clock, 'now'>) {
    this.#entries = new LRUCache({
      maxSize: limit,
      sizeCalculation: (value, name) => value.length + name.length + ENTRY_BYTES,
      ...lruTime(clock),
    });
  }

  async get(name: string): Promise<Buffer | undefined> {
    return this.#entries.get(name);
  }

  async getAll(names: readonly string[]): Promise<(Buffer | undefined)[]> {
    return names.map((name) => this.#entries.get(name));
  }

  async set(name: string, value: Buffer, ttlMs: number): Promise<boolean> {
    // A copy: a slice would keep all that it was cut from.
    this.#entries.set(name, Buffer.from(value), { ttl: wholeMs(ttlMs) });
    return this.#entries.has(name);
  }

  async delete(names: readonly string[]): Promise<number> {
    return names.filter((name) => this.#entries.has(name) && this.#entries.delete(name)).length;
  }

  async take(name: string, owner: string, ttlMs: number): Promise<'taken' | 'busy' | 'unknown'> {
    const holder = this.#entries.get(name);
    if (holder && holder.toString() !== owner) return 'busy';
    return (await this.set(name, Buffer.from(owner), ttlMs)) ? 'taken' : 'unknown';
  }

  async giveUp(name: string, owner: string): Promise<void> {
    if (this.#entries.get(name)?.toString() === owner) this.#entries.delete(name);
  }

  async purge(prefix: string): Promise<number> {
    return this.delete([...this.#entries.keys()].filter((name) => name.startsWith(prefix)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#entries.clear();
  }
}
