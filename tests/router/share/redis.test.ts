/** Routers that share through a real Redis, which is emptied, killed and frozen. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { OpenRedis } from '../../../cache/redis/index.ts';
import { openRedis } from '../../../cache/redis/index.ts';
import { systemClock } from '../../../router/clock.ts';
import { FakeClock } from '../../support/clock.ts';
import type { RedisServer } from '../../support/redis.ts';
import { redisOrSkip } from '../../support/redis.ts';
import type { TestShare } from './world.ts';
import { rounds, startShare } from './world.ts';

const ARM = { model: 'm', tier: 1 };
const CONTEXT = { domain: 'maths', complexity: 'simple', task: 'question' } as const;

let redis: RedisServer;
let clock: FakeClock;
let stores: OpenRedis[];
let shares: TestShare[];

beforeEach(async (context) => {
  redis = await redisOrSkip(context, { ofItsOwn: true });
  clock = new FakeClock();
  stores = [];
  shares = [];
});
afterEach(async () => {
  for (const { sharing } of shares) await sharing[Symbol.asyncDispose]();
  for (const { store } of stores) await store[Symbol.asyncDispose]();
  await redis?.[Symbol.asyncDispose]();
});

async function start(id: string): Promise<TestShare> {
  const opened = openRedis({ url: redis.url, clock: systemClock });
  stores.push(opened);
  await allUp();
  const share = startShare({ id, store: opened.store, clock, quota: { requestsPerMinute: 100 } });
  shares.push(share);
  return share;
}

/** Rounds take no time here, and would all be over while Redis is not asked. */
const allUp = () => expect.poll(() => stores.every(({ link }) => link.isUp), { interval: 5 }).toBe(true);
const teach = ({ learned: { bandit } }: TestShare, reward: number, times: number) => {
  for (let i = 0; i < times; i++) bandit.learn(ARM, CONTEXT, 0.5, reward, 1, clock.wall());
};
/** Rewards that a router believes to have come, by all routers. */
const counted = ({ learned }: TestShare) =>
  [learned.replicas.own, ...learned.replicas.others]
    .flatMap(({ parts }) => {
      const body = parts.get('arm:m')?.body;
      return body === undefined
        ? []
        : [JSON.parse(body) as { reference: number; halfLifeMs: number; arms: [{ total: number[] }] }];
    })
    .reduce((sum, { reference, halfLifeMs, arms: [{ total }] }) => {
      return sum + (total[0] as number) * 2 ** (reference - clock.wall() / halfLifeMs);
    }, 0);
const mean = ({ learned: { bandit } }: TestShare) => bandit.belief(ARM, CONTEXT, 0.5, clock.wall()).mean;

/** Rounds until all believe that so many rewards have come, and then some: it is no more either. */
async function untilAllCount(rewards: number): Promise<void> {
  for (let i = 0; i < 200 && !shares.every((share) => Math.abs(counted(share) - rewards) < 0.01); i++) {
    await allUp();
    await rounds(clock, shares, 1);
  }
  await rounds(clock, shares, 6);
  for (const share of shares) expect(counted(share)).toBeCloseTo(rewards, 1);
  for (const share of shares) expect(mean(share)).toBeCloseTo(mean(shares[0] as TestShare), 6);
}

it('what is learnt at one is believed at the other', async () => {
  const [a, b] = [await start('a'), await start('b')];
  teach(a, 1, 20);
  teach(b, 0.9, 10);
  await untilAllCount(30);
  expect(mean(b)).toBeGreaterThan(0.6);
});

it('a Redis that is emptied again and again is filled again, and nothing counts twice', async () => {
  const [a, b] = [await start('a'), await start('b')];
  for (let i = 1; i <= 3; i++) {
    teach(a, 1, 10);
    teach(b, 1, 5);
    await rounds(clock, shares, i);
    await redis.call('FLUSHALL');
    await untilAllCount(15 * i);
  }
});

it('while Redis is dead each goes on alone; when it is back, and empty, they merge, and nothing counts twice', async () => {
  const [a, b] = [await start('a'), await start('b')];
  teach(a, 1, 10);
  await untilAllCount(10);
  await redis.kill();
  teach(a, 0, 7);
  teach(b, 0, 8);
  await rounds(clock, shares, 10);
  expect(counted(a)).toBeCloseTo(17, 1);
  expect(counted(b)).toBeCloseTo(18, 1);
  await redis.restart();
  await allUp();
  await untilAllCount(25);
  const c = await start('c');
  await untilAllCount(25);
  expect(mean(c)).toBeCloseTo(mean(a), 6);
});

it('a Redis that stands still costs a round, and is caught up with', async () => {
  const [a, b] = [await start('a'), await start('b')];
  await untilAllCount(0);
  redis.freeze();
  teach(a, 1, 10);
  teach(b, 1, 10);
  await rounds(clock, shares, 5);
  expect(a.sharing.figures().failed).toBeGreaterThan(0);
  redis.thaw();
  await allUp();
  await untilAllCount(20);
});

it('values of other types, and huge ones, under every name of ours are put right', async () => {
  const [a] = [await start('a'), await start('b')];
  teach(a, 1, 10);
  await untilAllCount(10);
  const names = (await redis.call('KEYS', '*')) as string[];
  expect(names.length).toBeGreaterThan(4);
  for (const [i, name] of names.entries()) {
    await redis.call('DEL', name);
    if (i % 2 === 0) await redis.call('LPUSH', name, 'not a string');
    else await redis.call('SET', name, Buffer.alloc(9 << 20));
  }
  teach(a, 1, 5);
  await untilAllCount(15);
  await start('c');
  await untilAllCount(15);
});
