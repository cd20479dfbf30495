/** What a layer has in the memory of this process, bounded by bytes; the least recently used go first. */
import { LRUCache } from 'lru-cache';
import type { Clock } from './clock.ts';
import { lruTime } from './clock.ts';
import type { Key } from './port.ts';

/** Beside the value: the name, the key and the lists that it is in. */
const ENTRY_BYTES = 512;

/** A value at hand, or one of a snapshot that nobody has asked for yet. */
export type Held<Value> =
  | {
      readonly state: 'open';
      readonly key: Key;
      readonly value: Value;
      readonly expiresAt: number;
      /** When it was put, or read from the store; milliseconds, monotonic. */
      readonly knownAt: number;
      hits: number;
    }
  | { readonly state: 'sealed'; readonly sealed: Buffer; readonly expiresAt: number; hits: number };

export class HeldValues<Value> {
  #limit: number;
  readonly #entries: LRUCache<string, Held<Value>>;
  readonly #clock: Pick<Clock, 'now' | 'wall'>;
  /** Entries that made room for others. */
  evicted = 0;

  /** @param limit in bytes, over 0; the most that it will ever have */
  constructor(limit: number, clock: Pick<Clock, 'now' | 'wall'>) {
    this.#limit = limit;
    this.#clock = clock;
    this.#entries = new LRUCache({
      maxSize: limit,
      ...lruTime(clock),
      dispose: (_held, _name, reason) => {
        if (reason === 'evict') this.evicted++;
      },
    });
  }

  /** In bytes. */
  get limit(): number {
    return this.#limit;
  }

  /** @param limit in bytes, up to the first one */
  resize(limit: number): void {
    this.#limit = limit;
    this.#makeRoom();
  }

  get count(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  get(name: string): Held<Value> | undefined {
    return this.#entries.get(name);
  }

  /** @returns false when it is too large, or its time is over */
  set(name: string, held: Held<Value>, bytes: number): boolean {
    const size = bytes + ENTRY_BYTES;
    const ttl = held.expiresAt - this.#clock.wall();
    if (size > this.#limit || ttl <= 0) {
      this.#entries.delete(name);
      return false;
    }
    this.#entries.set(name, held, { size, ttl });
    this.#makeRoom();
    return true;
  }

  /** The entries themselves keep to the first limit alone. */
  #makeRoom(): void {
    while (this.#entries.calculatedSize > this.#limit) this.#entries.pop();
  }

  delete(name: string): boolean {
    return this.#entries.delete(name);
  }

  /** @returns how many there were */
  purge(prefix: string): number {
    const names = [...this.#entries.keys()].filter((name) => name.startsWith(prefix));
    for (const name of names) this.#entries.delete(name);
    return names.length;
  }

  /** The most recently used first. */
  entries(): Iterable<[string, Held<Value>]> {
    return this.#entries.entries();
  }
}
