/**
 * The store that routers share: sealed values under opaque names. What lies there may be foreign, huge or of another
 * type: it is read up to a bound, and what can't be a value is deleted.
 */
import { wholeMs } from '../clock.ts';
import type { RedisCommands, Store, Stored } from '../port.ts';
import type { RedisConnection } from './link.ts';
import { BACKGROUND_LIMIT_MS } from './link.ts';
import { codeOf } from './replies.ts';

/** What a value may be at most, sealed. */
export const MOST_VALUE_BYTES = 8 << 20;
/** So much of a value is fetched at first, which is all of nearly every one. */
const FIRST_BYTES = 65_536;
/** Of what is larger, so many at a time: they bound the memory that foreign values can take. */
const MOST_LARGE_READS = 4;
/** Names that commands are sent for at a time. */
const BATCH = 250;

/**
 * Two scripts, each of one step, so that nobody comes between the look and the deed. Who has a name has it for no longer
 * than it can be taken for: what lasts longer is a foreign value, and keeps nobody waiting.
 */
const GIVE_UP = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('unlink', KEYS[1]) end return 0";
const TAKE = `
local owner = redis.call('get', KEYS[1])
if owner and owner ~= ARGV[1] then
  local left = redis.call('pttl', KEYS[1])
  if left >= 0 and left <= tonumber(ARGV[2]) then return 0 end
end
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
return 1`;

export class RedisStore implements Store {
  readonly kind = 'redis';
  readonly #link: RedisConnection;
  #largeReads = 0;

  /** @param link ends with the store */
  constructor(link: RedisConnection) {
    this.#link = link;
  }

  async get(name: string): Promise<Stored> {
    const [stored] = await this.getAll([name]);
    return stored;
  }

  /** One command for each name: in a cluster they lie apart. */
  async getAll(names: readonly string[]): Promise<Stored[]> {
    const found = await this.#link.ask((redis) => inBatches(names, (batch) => this.#readEach(redis, batch)));
    return found?.flat() ?? names.map(() => 'unknown');
  }

  #readEach(redis: RedisCommands, names: readonly string[]): Promise<Stored[]> {
    return Promise.all(names.map((name) => this.#read(redis, name)));
  }

  async set(name: string, value: Buffer, ttlMs: number): Promise<boolean> {
    if (value.length > MOST_VALUE_BYTES) return false;
    const write = (redis: RedisCommands) => redis.call('set', name, value, 'px', wholeMs(ttlMs));
    return (await this.#link.ask(write, BACKGROUND_LIMIT_MS)) !== undefined;
  }

  async delete(names: readonly string[]): Promise<number | 'unknown'> {
    const unlink = (redis: RedisCommands) => inBatches(names, (batch) => this.#unlink(redis, batch));
    const counts = await this.#link.ask(unlink, BACKGROUND_LIMIT_MS);
    return counts ? sumOf(counts) : 'unknown';
  }

  async take(name: string, owner: string, ttlMs: number): Promise<'taken' | 'busy' | 'unknown'> {
    const take = (redis: RedisCommands) => orDeleted(redis, name, redis.call('eval', TAKE, 1, name, owner, wholeMs(ttlMs)));
    const reply = await this.#link.ask(take);
    if (reply === undefined) return 'unknown';
    return reply === 1 ? 'taken' : 'busy';
  }

  async giveUp(name: string, owner: string): Promise<void> {
    await this.#link.ask((redis) => orDeleted(redis, name, redis.call('eval', GIVE_UP, 1, name, owner)), BACKGROUND_LIMIT_MS);
  }

  /** In steps, each within the time limit; ends early when Redis is lost. */
  async purge(prefix: string): Promise<number> {
    const pattern = `${prefix.replace(/[\\*?[\]^-]/g, '\\$&')}*`;
    let count = 0;
    for (const server of this.#link.servers()) count += await this.#purgeServer(server, pattern);
    return count;
  }

  async #purgeServer(server: Pick<RedisConnection, 'ask'>, pattern: string): Promise<number> {
    let count = 0;
    let cursor = '0';
    do {
      const step = (redis: RedisCommands) => this.#purgeStep(redis, cursor, pattern);
      const done = await server.ask(step, BACKGROUND_LIMIT_MS);
      if (!done) return count;
      count += done.count;
      cursor = done.next;
    } while (cursor !== '0');
    return count;
  }

  async #purgeStep(redis: RedisCommands, cursor: string, pattern: string): Promise<{ next: string; count: number }> {
    const reply = await redis.call('scan', cursor, 'match', pattern, 'count', BATCH);
    const [next, names] = reply as [Buffer, Buffer[]];
    return { next: String(next), count: sumOf(await inBatches(names, (batch) => this.#unlink(redis, batch))) };
  }

  /** In a cluster one by one, since names of different slots may not stand in one command. */
  async #unlink(redis: RedisCommands, names: readonly (string | Buffer)[]): Promise<number> {
    const commands = this.#link.kind === 'cluster' ? names.map((name) => [name]) : [names];
    return sumOf((await Promise.all(commands.map((some) => redis.call('unlink', ...some)))) as number[]);
  }

  /** A value is never empty, which is how Redis tells of one that is not there. */
  async #read(redis: RedisCommands, name: string): Promise<Stored> {
    const first = await orDeleted(redis, name, redis.call('getrange', name, 0, FIRST_BYTES - 1));
    if (!Buffer.isBuffer(first) || first.length === 0) return undefined;
    return first.length < FIRST_BYTES ? first : this.#readLarge(redis, name);
  }

  /** From its beginning again, since it may have been replaced meanwhile. */
  async #readLarge(redis: RedisCommands, name: string): Promise<Stored> {
    if (this.#largeReads >= MOST_LARGE_READS) return 'unknown';
    this.#largeReads++;
    try {
      const value = await redis.call('getrange', name, 0, MOST_VALUE_BYTES);
      if (!Buffer.isBuffer(value) || value.length === 0) return undefined;
      if (value.length <= MOST_VALUE_BYTES) return value;
      await redis.call('unlink', name);
      return undefined;
    } finally {
      this.#largeReads--;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#link[Symbol.asyncDispose]();
  }
}

/** One batch after the other; nothing for no names. */
async function inBatches<Name, Done>(names: readonly Name[], run: (batch: readonly Name[]) => Promise<Done>): Promise<Done[]> {
  const done: Done[] = [];
  for (let at = 0; at < names.length; at += BATCH) done.push(await run(names.slice(at, at + BATCH)));
  return done;
}

/** What is of another type than ours is no value, and makes room for one. */
async function orDeleted(redis: RedisCommands, name: string, reply: Promise<unknown>): Promise<unknown> {
  try {
    return await reply;
  } catch (error) {
    if (codeOf(error) !== 'WRONGTYPE') throw error;
    await redis.call('unlink', name);
    return undefined;
  }
}

const sumOf = (counts: readonly number[]) => counts.reduce((sum, count) => sum + count, 0);
