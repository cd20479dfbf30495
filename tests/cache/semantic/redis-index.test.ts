/** Indices in a real Redis: vector sets, as Redis 8 has them. */
import { randomBytes } from 'node:crypto';
import type { TestContext } from 'vitest';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { MemoryIndex } from '../../../cache/semantic/memory-index.ts';
import { SemanticCache } from '../../../cache/semantic/semantic-cache.ts';
import { SharedIndex } from '../../../cache/semantic/shared-index.ts';
import { VectorSetIndex } from '../../../cache/semantic/vector-set-index.ts';
import { systemClock } from '../../../router/clock.ts';
import { FakeClock, seeded } from '../../support/clock.ts';
import { redisOrSkip, startCluster } from '../../support/redis.ts';
import type { RedisServer } from '../../support/redis-server.ts';
import type { TestStore } from '../redis/open.ts';
import { openTestStore } from '../redis/open.ts';
import { entryOf, indexContract, partitionOf } from './index-contract.ts';
import { keyring, POLICY, prompt, randomUnit, vectorOf } from './prompts.ts';
import { program8OrSkip, redis8OrSkip } from './redis8.ts';

/** What is under test is what is found, not how soon beside other tests. */
const LIMIT_MS = 5_000;
const LONG_MS = 600_000;

/** The first one may unpack a Redis. */
vi.setConfig({ testTimeout: 240_000 });

const cleanup = new AsyncDisposableStack();
afterAll(() => cleanup.disposeAsync());

async function opened(url: string): Promise<TestStore> {
  const store = openTestStore(url, LIMIT_MS);
  await store.become('up');
  return store;
}

let shared: Promise<{ readonly server: RedisServer; readonly store: TestStore }> | undefined;

async function redis8(context: TestContext) {
  const start = async () => {
    const server = cleanup.use(await redis8OrSkip(context));
    return { server, store: cleanup.use(await opened(server.url)) };
  };
  shared ??= start();
  // Each test skips for itself.
  shared.catch(() => (shared = undefined));
  return shared;
}

indexContract('Vector sets of Redis 8', async (context) => {
  const { store } = await redis8(context);
  const clock = new FakeClock();
  return { index: new VectorSetIndex(store.link, clock), pass: async (ms) => clock.advance(ms) };
});

let cluster: Promise<TestStore> | undefined;

indexContract('Vector sets of a cluster of Redis 8', async (context) => {
  const program = await program8OrSkip(context);
  const start = async () => cleanup.use(await opened(cleanup.use(await startCluster(program)).url));
  cluster ??= start();
  const { link } = await cluster;
  const clock = new FakeClock();
  return { index: new VectorSetIndex(link, clock), pass: async (ms) => clock.advance(ms) };
});

describe('vector sets', () => {
  const fresh = () => partitionOf(`im1:s:test:${randomBytes(12).toString('hex')}`);

  test('end with the last that is in them, and hold no vector or text of a prompt', async (context) => {
    const { server, store } = await redis8(context);
    const index = new VectorSetIndex(store.link, new FakeClock());
    const partition = fresh();
    const vector = randomUnit(seeded(1), 24);
    await index.add(partition, entryOf('a', vector, 60_000));
    await index.add(partition, entryOf('b', vector, LONG_MS));
    await index.add(partition, entryOf('c', vector, 60_000));
    const left = Number(await server.call('PTTL', partition.name));
    expect(left).toBeGreaterThan(LONG_MS - 60_000);
    expect(left).toBeLessThanOrEqual(LONG_MS);
    expect(await index.size()).toBe(3);
  });

  test('lose what is too old to those that are added, and are bounded', async (context) => {
    const { server, store } = await redis8(context);
    const clock = new FakeClock();
    const index = new VectorSetIndex(store.link, clock, 40);
    const random = seeded(2);
    const [old, many] = [fresh(), fresh()];
    for (let i = 0; i < 10; i++) await index.add(old, entryOf(`old${i}`, randomUnit(random, 24), 1_000));
    clock.advance(5_000);
    for (let i = 0; i < 10; i++) await index.add(old, entryOf(`young${i}`, randomUnit(random, 24)));
    expect(Number(await server.call('VCARD', old.name))).toBe(10);
    for (let i = 0; i < 60; i++) await index.add(many, entryOf(`e${i}`, randomUnit(random, 24)));
    expect(Number(await server.call('VCARD', many.name))).toBe(40);
  });

  test('are purged with the store', async (context) => {
    const { store } = await redis8(context);
    const index = new VectorSetIndex(store.link, new FakeClock());
    const partition = fresh();
    const vector = randomUnit(seeded(3), 24);
    await index.add(partition, entryOf('a', vector));
    expect(await store.store.purge(partition.name)).toBe(1);
    expect(await index.nearest(partition, vector, 8)).toEqual([]);
  });

  test('that somebody else has written into, or another kind of value, are as good as none', async (context) => {
    const { server, store } = await redis8(context);
    const index = new VectorSetIndex(store.link, new FakeClock());
    const [wrong, foreign] = [fresh(), fresh()];
    const vector = randomUnit(seeded(4), 24);
    await server.call('SET', wrong.name, 'not a set');
    await index.add(wrong, entryOf('a', vector));
    expect(await index.nearest(wrong, vector, 8)).toEqual([]);
    await server.call('VADD', foreign.name, 'VALUES', 2, 1, 0, 'short');
    await index.add(foreign, entryOf('a', vector));
    expect(await index.nearest(foreign, vector, 8)).toEqual([]);
  });
});

describe('routers that share a Redis 8', () => {
  async function router(url: string) {
    const store = await opened(url);
    const clock = new FakeClock();
    const index = new SharedIndex({ link: store.link, local: new MemoryIndex(clock), clock, prefix: 'im1:s:' });
    await index.detect();
    const cache = new SemanticCache({ index, clock, random: seeded(1), tell: () => {} });
    return { store, index, cache };
  }

  const add = async (cache: SemanticCache, text: string, tenant: string, reference: string) => {
    const asked = cache.ask(prompt(text, { tenant }))!;
    await cache.add(asked, vectorOf(asked.text), Buffer.from(reference), LONG_MS);
  };
  const find = async (cache: SemanticCache, text: string, tenant: string) => {
    const asked = cache.ask(prompt(text, { tenant }))!;
    return (await cache.find(asked, vectorOf(asked.text), POLICY)).hit?.reference.toString();
  };

  test('find each other’s prompts; 1,000 pairs of tenants find their own and never the other’s', async (context) => {
    const { server } = await redis8(context);
    const [a, b] = [await router(server.url), await router(server.url)];
    await using stack = new AsyncDisposableStack();
    for (const one of [a, b]) {
      stack.use(one.store);
      stack.use(one.cache);
    }
    expect([a.index.kind, b.index.kind]).toEqual(['vector-set', 'vector-set']);
    let crossings = 0;
    let own = 0;
    for (let pair = 0; pair < 1000; pair++) {
      const text = `What is the capital of country ${pair}?`;
      const [ours, theirs] = [`tenant-${pair}`, `other-${pair}`];
      await add(a.cache, text, ours, `of ${ours}`);
      const [crossed, hit] = await Promise.all([
        find(b.cache, text, theirs),
        find(b.cache, `Please tell me what the capital of country ${pair} is.`, ours),
      ]);
      if (crossed !== undefined) crossings++;
      if (hit === `of ${ours}`) own++;
    }
    expect(crossings).toBe(0);
    expect(own).toBeGreaterThanOrEqual(999);
    const names = (await server.call('KEYS', 'im1:s:*')) as string[];
    expect(names.filter((name) => name.includes(keyring.tagOf('tenant-7')))).toHaveLength(1);
    expect(names.join()).not.toMatch(/tenant|capital|country/);
  });

  test('work on alone while it is away, and find it again', async (context) => {
    await redis8(context);
    await using server = await redis8OrSkip(context);
    const one = await router(server.url);
    await using store = one.store;
    await using cache = one.cache;
    await add(cache, 'What is the capital of Peru?', 'acme', 'Lima');
    await server.kill();
    await store.become('down');
    expect(await find(cache, 'what is the capital of Peru', 'acme')).toBe('Lima');
    await add(cache, 'What is the capital of Chile?', 'acme', 'Santiago');
    expect(await find(cache, 'what is the capital of Chile', 'acme')).toBe('Santiago');
    await server.restart();
    await store.become('up');
    expect(one.index.kind).toBe('vector-set');
  });
});

describe('a Redis that can search no vectors', () => {
  test('leaves the index in memory', async (context) => {
    await using server = await redisOrSkip(context);
    await using store = await opened(server.url);
    const known = await store.link.ask((redis) => redis.call('COMMAND', 'INFO', 'VSIM', 'FT.SEARCH'));
    if ((known as unknown[]).some((command) => command !== null)) return context.skip('this Redis can search vectors');
    await using index = new SharedIndex({
      link: store.link,
      local: new MemoryIndex(systemClock),
      clock: systemClock,
      prefix: 'im1:s:',
    });
    await index.detect();
    expect(index.kind).toBe('memory');
    const vector = randomUnit(seeded(5), 24);
    await index.add(partitionOf('im1:s:x:1'), entryOf('a', vector));
    expect((await index.nearest(partitionOf('im1:s:x:1'), vector, 8)).map(({ id }) => id)).toEqual(['a']);
  });
});
