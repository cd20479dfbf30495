/** Recent prompts in the memory of this process; of all partitions together, the least recently used go first. */
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import { lruTime } from '../clock.ts';
import type { IndexEntry, IndexKind, Neighbour, Partition, SemanticIndex } from './port.ts';
import { Shelf } from './shelf.ts';
import type { MakeGraph } from './usearch.ts';

export const MOST_ENTRIES = 10_000;
export const MOST_BYTES = 128 << 20;
/** Beside vector and sealed: keys, names and the lists that they are in. */
const ENTRY_BYTES = 512;
/** Of a number of a vector: 4 as it is, 2 in a graph. */
const NUMBER_BYTES = 6;
/** What is too old is sought after so many adds. */
const SWEEP_EVERY = 256;

interface Held {
  readonly partition: string;
  readonly id: string;
  readonly sealed: Buffer;
}

export class MemoryIndex implements SemanticIndex {
  readonly kind: IndexKind;
  readonly #makeGraph: MakeGraph | undefined;
  readonly #entries: LRUCache<string, Held>;
  readonly #shelves = new Map<string, Shelf>();
  #adds = 0;

  /** @param makeGraph absent: vectors are compared one by one, however many there are */
  constructor(clock: Pick<Clock, 'now'>, makeGraph?: MakeGraph, most = { entries: MOST_ENTRIES, bytes: MOST_BYTES }) {
    this.kind = makeGraph ? 'usearch' : 'memory';
    this.#makeGraph = makeGraph;
    this.#entries = new LRUCache({
      max: most.entries,
      maxSize: most.bytes,
      ...lruTime(clock),
      dispose: ({ partition, id }, _name, reason) => {
        if (reason !== 'set') this.#unshelve(partition, id);
      },
    });
  }

  async add(partition: Partition, { id, vector, sealed, ttlMs }: IndexEntry): Promise<void> {
    if (++this.#adds % SWEEP_EVERY === 0) this.#entries.purgeStale();
    const size = vector.length * NUMBER_BYTES + sealed.length + ENTRY_BYTES;
    const name = nameOf(partition.name, id);
    if (ttlMs <= 0 || vector.length !== partition.dimensions) return;
    this.#entries.set(name, { partition: partition.name, id, sealed }, { size, ttl: ttlMs });
    // Too large to be kept: what was there under its id is gone too.
    if (!this.#entries.has(name)) return this.#unshelve(partition.name, id);
    const shelf = this.#shelves.get(partition.name) ?? new Shelf(partition.dimensions, this.#makeGraph);
    this.#shelves.set(partition.name, shelf);
    shelf.add(id, vector);
  }

  async nearest(partition: Partition, vector: Float32Array, count: number): Promise<readonly Neighbour[]> {
    const shelf = this.#shelves.get(partition.name);
    if (!shelf || vector.length !== partition.dimensions) return [];
    for (;;) {
      const ids = shelf.nearest(vector, count);
      const held = ids.map((id) => this.#entries.get(nameOf(partition.name, id)));
      if (held.every((one) => one !== undefined)) return held.map(({ id, sealed }) => ({ id, sealed }));
      // Some are too old, and others may be behind them.
      for (const [at, id] of ids.entries()) if (!held[at]) this.#unshelve(partition.name, id);
    }
  }

  async remove(partition: Partition, id: string): Promise<void> {
    this.#entries.delete(nameOf(partition.name, id));
  }

  async size(): Promise<number> {
    return this.#entries.size;
  }

  purge(prefix: string): number {
    const names = [...this.#entries.keys()].filter((name) => name.startsWith(prefix));
    for (const name of names) this.#entries.delete(name);
    return names.length;
  }

  #unshelve(partition: string, id: string): void {
    const shelf = this.#shelves.get(partition);
    shelf?.remove(id);
    if (shelf?.size === 0) this.#shelves.delete(partition);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#entries.clear();
  }
}

const nameOf = (partition: string, id: string) => `${partition} ${id}`;
