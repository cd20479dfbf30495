/**
 * The index of a router with Redis: what Redis can search is searched there, for all routers, and beside it in memory,
 * which is all there is while Redis is away or can search nothing.
 */
import type { Clock } from '../clock.ts';
import type { RedisLink } from '../port.ts';
import type { IndexEntry, IndexKind, Neighbour, Partition, SemanticIndex } from './port.ts';
import { listOf } from './replies.ts';
import { SearchIndex } from './search-index.ts';
import { VectorSetIndex } from './vector-set-index.ts';

export interface SharedParts {
  readonly link: RedisLink;
  readonly local: SemanticIndex;
  readonly clock: Pick<Clock, 'wall'>;
  /** Of the names of all partitions. */
  readonly prefix: string;
}

export class SharedIndex implements SemanticIndex {
  readonly #parts: SharedParts;
  readonly #unsubscribe: () => void;
  #remote: SemanticIndex | undefined;

  constructor(parts: SharedParts) {
    this.#parts = parts;
    this.#unsubscribe = parts.link.onUp(() => void this.detect());
    if (parts.link.isUp) void this.detect();
  }

  get kind(): IndexKind {
    return this.#remote?.kind ?? this.#parts.local.kind;
  }

  /** Looks what the server can do; another one may be behind the name than before. */
  async detect(): Promise<void> {
    const { link, clock, prefix } = this.#parts;
    const known = await link.ask((redis) => redis.call('COMMAND', 'INFO', 'VSIM', 'FT.SEARCH'));
    if (known === undefined) return;
    const [vectorSets, queries] = listOf(known).map((command) => listOf(command).length > 0);
    const kind = vectorSets ? 'vector-set' : queries ? 'search' : undefined;
    if (kind === this.#remote?.kind) return;
    this.#remote = kind && (kind === 'search' ? new SearchIndex(link, prefix) : new VectorSetIndex(link, clock));
  }

  async add(partition: Partition, entry: IndexEntry): Promise<void> {
    await Promise.all([this.#parts.local.add(partition, entry), this.#remote?.add(partition, entry)]);
  }

  /** From both; what is in both, once. */
  async nearest(partition: Partition, vector: Float32Array, count: number): Promise<readonly Neighbour[]> {
    const lists = await Promise.all([
      this.#remote?.nearest(partition, vector, count) ?? [],
      this.#parts.local.nearest(partition, vector, count),
    ]);
    return [...new Map(lists.flat().map((neighbour) => [neighbour.id, neighbour])).values()];
  }

  async remove(partition: Partition, id: string): Promise<void> {
    await Promise.all([this.#parts.local.remove(partition, id), this.#remote?.remove(partition, id)]);
  }

  async size(): Promise<number> {
    return Math.max(await this.#parts.local.size(), (await this.#remote?.size()) ?? 0);
  }

  purge(prefix: string): number {
    return this.#parts.local.purge(prefix);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unsubscribe();
    await this.#parts.local[Symbol.asyncDispose]();
  }
}
