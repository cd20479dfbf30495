/**
 * In a Redis with the query engine: a hash for each entry, which expires by itself, and one index over those of all
 * partitions with vectors of one length, searched by FT.SEARCH within a partition.
 */
import type { RedisLink } from '../port.ts';
import type { IndexEntry, Neighbour, Partition, SemanticIndex } from './port.ts';
import { bytesOf, fieldsOf, listOf, textOf } from './replies.ts';

export class SearchIndex implements SemanticIndex {
  readonly kind = 'search';
  readonly #link: RedisLink;
  /** Of the names of all partitions. */
  readonly #prefix: string;
  /** Lengths of vectors for which the index is there. */
  readonly #made = new Set<number>();

  /** @param prefix that all partitions' names have */
  constructor(link: RedisLink, prefix: string) {
    this.#link = link;
    this.#prefix = prefix;
  }

  async add(partition: Partition, { id, vector, sealed, ttlMs }: IndexEntry): Promise<void> {
    if (ttlMs <= 0 || !(await this.#ensure(partition.dimensions))) return;
    const name = `${partition.name}:${id}`;
    await this.#link.ask(async (redis) => {
      const fields = ['partition', tagOf(partition), 'vector', bytesOf(vector), 'sealed', sealed.toString('base64')];
      await Promise.all([redis.call('HSET', name, ...fields), redis.call('PEXPIRE', name, ttlMs)]);
      return true;
    });
  }

  async nearest(partition: Partition, vector: Float32Array, count: number): Promise<readonly Neighbour[]> {
    if (!(await this.#ensure(partition.dimensions))) return [];
    const query = `(@partition:{${tagOf(partition)}})=>[KNN ${count} @vector $vector AS distance]`;
    const options = ['SORTBY', 'distance', 'RETURN', 1, 'sealed', 'LIMIT', 0, count, 'DIALECT', 2];
    const reply = await this.#link.ask((redis) =>
      redis.call('FT.SEARCH', this.#indexOf(partition.dimensions), query, 'PARAMS', 2, 'vector', bytesOf(vector), ...options),
    );
    // Somebody has dropped the index, or its server has been replaced by an empty one.
    if (reply === undefined) this.#made.delete(partition.dimensions);
    return foundIn(reply).map(({ name, sealed }) => ({ id: name.slice(partition.name.length + 1), sealed }));
  }

  async remove(partition: Partition, id: string): Promise<void> {
    await this.#link.ask((redis) => redis.call('UNLINK', `${partition.name}:${id}`));
  }

  async size(): Promise<number> {
    const replies = await this.#link.ask((redis) =>
      Promise.all([...this.#made].map((dimensions) => redis.call('FT.INFO', this.#indexOf(dimensions)))),
    );
    return (replies ?? []).reduce<number>((sum, reply) => sum + Number(textOrNumber(fieldsOf(reply).get('num_docs'))), 0);
  }

  purge(): number {
    return 0;
  }

  #indexOf(dimensions: number): string {
    return `${this.#prefix}${dimensions}`;
  }

  async #ensure(dimensions: number): Promise<boolean> {
    if (this.#made.has(dimensions)) return true;
    const name = this.#indexOf(dimensions);
    const there = await this.#link.ask(async (redis) => {
      if (listOf(await redis.call('FT._LIST')).some((other) => textOf(other) === name)) return true;
      const vector = ['HNSW', 6, 'TYPE', 'FLOAT32', 'DIM', dimensions, 'DISTANCE_METRIC', 'COSINE'];
      const fields = ['partition', 'TAG', 'CASESENSITIVE', 'vector', 'VECTOR', ...vector];
      // Hashes of another length are passed over by an index, and found by their own.
      await redis.call('FT.CREATE', name, 'ON', 'HASH', 'PREFIX', 1, this.#prefix, 'SCHEMA', ...fields);
      return true;
    });
    if (there) this.#made.add(dimensions);
    return there ?? false;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Letters and digits alone, which a query takes as they are. */
const tagOf = ({ name }: Partition) => Buffer.from(name).toString('hex');

const textOrNumber = (reply: unknown) => (typeof reply === 'number' ? reply : textOf(reply));

interface Found {
  readonly name: string;
  readonly sealed: Buffer;
}

/** As RESP2 has it, a count and then names each with its fields; or as RESP3 does, a map with a list of results. */
function foundIn(reply: unknown): Found[] {
  const results = fieldsOf(reply).get('results');
  if (results !== undefined) {
    return listOf(results).flatMap((result) => {
      const fields = fieldsOf(result);
      return foundOf(fields.get('id'), fields.get('extra_attributes'));
    });
  }
  const rest = listOf(reply).slice(1);
  return rest.flatMap((name, at) => (at % 2 === 0 ? foundOf(name, rest[at + 1]) : []));
}

function foundOf(name: unknown, fields: unknown): Found[] {
  const sealed = fieldsOf(fields).get('sealed');
  return sealed === undefined ? [] : [{ name: textOf(name), sealed: Buffer.from(textOf(sealed), 'base64') }];
}
