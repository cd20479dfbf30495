/** What lies under the routers' names is not what they put there. */
import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Scenario } from '../../scenario.ts';
import type { RedisFault } from '../../support/redis-load.ts';
import { redisScenario } from '../../support/redis-load.ts';

const OURS = 'im1:*';
const ANSWERS = 'im1:a:*';
const LIFE_S = 60;

/** Of the type that the routers put there. */
async function valuesOf(operator: Redis, pattern: string): Promise<(readonly [name: string, value: Buffer])[]> {
  const names = await operator.keys(pattern);
  const found = await Promise.all(names.map(async (name) => [name, await operator.getBuffer(name).catch(() => null)] as const));
  return found.flatMap(([name, value]) => (value ? [[name, value] as const] : []));
}

const AS_ANOTHER_TYPE: readonly ((operator: Redis, name: string) => Promise<unknown>)[] = [
  (operator, name) => operator.rpush(name, 'a', 'b'),
  (operator, name) => operator.hset(name, 'field', 'value'),
  (operator, name) => operator.sadd(name, 'member'),
  (operator, name) => operator.zadd(name, 1, 'member'),
  (operator, name) => operator.xadd(name, '*', 'field', 'value'),
];

const wrongTypes: RedisFault = {
  name: 'redis-wrong-types',
  does: 'Everything that two routers keep in Redis becomes a list, a hash, a set, a sorted set or a stream, ten times a second.',
  changes: 0,
  async harm({ operator }) {
    const values = await valuesOf(operator, OURS);
    await Promise.all(
      values.map(async ([name], index) => {
        await operator.del(name);
        await AS_ANOTHER_TYPE[index % AS_ANOTHER_TYPE.length]?.(operator, name).catch(() => {});
        await operator.expire(name, LIFE_S);
      }),
    );
  },
};

const HUGE = 8;
const HUGE_BYTES = 100 << 20;

const huge: RedisFault = {
  name: 'redis-huge-values',
  does: `Answers that two routers keep in Redis are replaced by values of ${HUGE_BYTES >> 20} MB.`,
  changes: 0,
  async prepare({ operator }) {
    for (let n = 0; n < HUGE; n++) await operator.setrange(`huge ${n}`, HUGE_BYTES - 1, 'x');
  },
  // They are put in their places by name, since to copy one would have Redis stand still.
  async harm({ operator }) {
    const [waiting] = await operator.keys('huge *');
    const names = await operator.keys(ANSWERS);
    const name = names[Math.floor(names.length / 2)];
    if (waiting === undefined || name === undefined) return;
    await operator.rename(waiting, name);
  },
  async mend({ operator }) {
    const waiting = await operator.keys('huge *');
    if (waiting.length > 0) await operator.unlink(...waiting);
  },
};

/** One that nobody deletes would be doubled ten times a second until Redis takes no more. */
const MOST_DOUBLED_BYTES = 1 << 20;

const DAMAGE: readonly ((value: Buffer) => Buffer)[] = [
  (value) => {
    const changed = Buffer.from(value);
    const at = Math.floor(Math.random() * changed.length);
    changed[at] = (changed[at] as number) ^ (1 << Math.floor(Math.random() * 8));
    return changed;
  },
  (value) => value.subarray(0, value.length >> 1),
  (value) => (value.length < MOST_DOUBLED_BYTES ? Buffer.concat([value, value]) : value.subarray(1)),
  (value) => randomBytes(value.length),
  () => Buffer.alloc(0),
];

const corrupt: RedisFault = {
  name: 'redis-corrupt-values',
  does: 'Everything that two routers keep in Redis loses a bit or its end, is doubled, replaced by noise or emptied, ten times a second.',
  changes: 0,
  async harm({ operator }) {
    const values = await valuesOf(operator, OURS);
    await Promise.all(
      values.map(([name, value], index) =>
        operator.set(name, (DAMAGE[index % DAMAGE.length] as (typeof DAMAGE)[0])(value), 'EX', LIFE_S),
      ),
    );
  },
};

const forged: RedisFault = {
  name: 'redis-forged-values',
  does: 'Every value that two routers keep in Redis, sealed by them, is put under the name of another, ten times a second.',
  changes: 0,
  async harm({ operator }) {
    const values = await valuesOf(operator, OURS);
    await Promise.all(
      values.map(([name], index) => operator.set(name, values[(index + 1) % values.length]?.[1] as Buffer, 'EX', LIFE_S)),
    );
  },
};

export const REDIS_VALUES: readonly Scenario[] = [wrongTypes, huge, corrupt, forged].map(redisScenario);
