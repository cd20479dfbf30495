/**
 * In Redis 8: one vector set for each partition, which is searched by VSIM. An element is an entry's id, its attribute
 * when it expires and what is sealed. A set expires as a whole when nothing in it is left; what is too old before that is
 * passed over by searches, and taken out by whoever adds.
 */
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import type { RedisCommands, RedisLink } from '../port.ts';
import type { IndexEntry, Neighbour, Partition, SemanticIndex } from './port.ts';
import { bytesOf, listOf, textOf } from './replies.ts';

/** In one partition. */
export const MOST_ELEMENTS = 10_000;
/** Elements that are looked at when one is added, and taken out if they are too old. */
const SAMPLE = 8;
/** Partitions whose entries are counted. */
const MOST_COUNTED = 256;

interface Attribute {
  /** When it is too old, in seconds since 1970; VSIM filters by it. */
  readonly e: number;
  /** What is sealed, in base64. */
  readonly s: string;
}

export class VectorSetIndex implements SemanticIndex {
  readonly kind = 'vector-set';
  readonly #link: RedisLink;
  readonly #clock: Pick<Clock, 'wall'>;
  readonly #most: number;
  readonly #used = new LRUCache<string, true>({ max: MOST_COUNTED });

  constructor(link: RedisLink, clock: Pick<Clock, 'wall'>, most = MOST_ELEMENTS) {
    this.#link = link;
    this.#clock = clock;
    this.#most = most;
  }

  async add({ name }: Partition, { id, vector, sealed, ttlMs }: IndexEntry): Promise<void> {
    if (ttlMs <= 0) return;
    this.#used.set(name, true);
    const attribute: Attribute = { e: Math.floor((this.#clock.wall() + ttlMs) / 1000), s: sealed.toString('base64') };
    const added = await this.#link.ask(async (redis) => {
      await redis.call('VADD', name, 'FP32', bytesOf(vector), id, 'CAS', 'SETATTR', JSON.stringify(attribute));
      // The first for a set that has no time yet, the second for one that would end too soon.
      await Promise.all([redis.call('PEXPIRE', name, ttlMs, 'NX'), redis.call('PEXPIRE', name, ttlMs, 'GT')]);
      return true;
    });
    if (added) await this.#link.ask((redis) => this.#tidy(redis, name));
  }

  /** Of some elements at random those that are too old go, and the oldest of them where there are too many. */
  async #tidy(redis: RedisCommands, name: string): Promise<void> {
    const [count, ids] = await Promise.all([redis.call('VCARD', name), redis.call('VRANDMEMBER', name, SAMPLE)]);
    const seen = await this.#attributes(redis, name, listOf(ids).map(textOf));
    const now = this.#clock.wall() / 1000;
    const old = seen.filter(({ attribute }) => (attribute?.e ?? 0) <= now);
    const first = seen.toSorted((a, b) => (a.attribute?.e ?? 0) - (b.attribute?.e ?? 0)).slice(0, 1);
    const gone = old.length === 0 && Number(count) > this.#most ? first : old;
    await Promise.all(gone.map(({ id }) => redis.call('VREM', name, id)));
  }

  async nearest({ name }: Partition, vector: Float32Array, count: number): Promise<readonly Neighbour[]> {
    this.#used.set(name, true);
    const found = await this.#link.ask(async (redis) => {
      const filter = `.e > ${Math.floor(this.#clock.wall() / 1000)}`;
      const ids = await redis.call('VSIM', name, 'FP32', bytesOf(vector), 'COUNT', count, 'FILTER', filter);
      return this.#attributes(redis, name, listOf(ids).map(textOf));
    });
    return (found ?? []).flatMap(({ id, attribute }) => (attribute ? { id, sealed: Buffer.from(attribute.s, 'base64') } : []));
  }

  #attributes(redis: RedisCommands, name: string, ids: readonly string[]) {
    return Promise.all(ids.map(async (id) => ({ id, attribute: attributeOf(await redis.call('VGETATTR', name, id)) })));
  }

  async remove({ name }: Partition, id: string): Promise<void> {
    await this.#link.ask((redis) => redis.call('VREM', name, id));
  }

  async size(): Promise<number> {
    const names = [...this.#used.keys()];
    const counts = await this.#link.ask((redis) => Promise.all(names.map((name) => redis.call('VCARD', name))));
    return (counts ?? []).reduce<number>((sum, count) => sum + (Number(count) || 0), 0);
  }

  purge(): number {
    return 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Undefined: somebody else's. */
function attributeOf(reply: unknown): Attribute | undefined {
  try {
    const { e, s } = JSON.parse(textOf(reply)) as Partial<Attribute>;
    return typeof e === 'number' && typeof s === 'string' ? { e, s } : undefined;
  } catch {
    return undefined;
  }
}
