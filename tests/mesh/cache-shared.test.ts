/** Two routers with one Redis: what one has answered the other gives, and when Redis is gone both go on. */
import type { TestContext } from 'vitest';
import { expect, it } from 'vitest';
import type { ChatInput } from '../../client/index.ts';
import { CacheSource, NodeState } from '../../client/index.ts';
import type { RouterMember, TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import type { RedisServer } from '../support/redis.ts';
import { redisOrSkip } from '../support/redis.ts';
import { expectAtRest } from './rest.ts';

const TOKENS = 30;

let prompts = 0;
const fresh = (more: Partial<ChatInput> = {}): ChatInput => ({
  messages: `prompt ${++prompts}`,
  sampling: { temperature: 0 },
  ...more,
});

interface Pair extends AsyncDisposable {
  readonly redis: RedisServer;
  readonly mesh: TestMesh;
  readonly other: RouterMember;
}

/** One node that serves both. */
async function pair(context: TestContext): Promise<Pair> {
  const redis = await redisOrSkip(context, { ofItsOwn: true });
  const flags = ['--redis', redis.url];
  const mesh = await startMesh({ nodes: [], routerFlags: flags });
  const other = await mesh.addRouter(flags);
  await mesh.addNode({
    engine: 'replay',
    model: 'canned',
    replay: `rate=100,length=${TOKENS}`,
    flags: ['--join', other.address],
  });
  const serving = async () => (await other.client.nodes()).filter(({ state }) => state === NodeState.NODE_STATE_SERVING).length;
  await expect.poll(serving).toBe(1);
  return {
    redis,
    mesh,
    other,
    async [Symbol.asyncDispose]() {
      await Promise.all([expectAtRest(mesh), expectAtRest(other)]);
      await mesh[Symbol.asyncDispose]();
      await redis[Symbol.asyncDispose]();
    },
  };
}

/** Where the other router has the answer from that the first one has just given. */
async function sourceOf({ mesh, other }: Pair, input = fresh()): Promise<CacheSource | undefined> {
  const { text } = await mesh.client.ask(input);
  const again = await other.client.ask(input);
  expect(again.text).toBe(text);
  return again.finished.cached?.source;
}

const shares = (both: Pair) => expect.poll(() => sourceOf(both)).toBe(CacheSource.CACHE_SOURCE_REDIS);

it('what one has answered the other gives, from Redis, then from its own memory; both at once generate it once', async (context) => {
  await using both = await pair(context);
  await shares(both);
  const { mesh, other } = both;
  const input = fresh();
  expect(await sourceOf(both, input)).toBe(CacheSource.CACHE_SOURCE_REDIS);
  expect(await sourceOf(both, input)).toBe(CacheSource.CACHE_SOURCE_MEMORY);

  const generated = async () => {
    const all = await Promise.all([mesh.client.stats(), other.client.stats()]);
    return all.reduce((sum, { tokensRelayed }) => sum + tokensRelayed, 0);
  };
  const stampede = async () => {
    const before = await generated();
    const input = fresh();
    const asked = await Promise.all(Array.from({ length: 40 }, (_, i) => (i % 2 ? mesh : other).client.ask(input)));
    expect(new Set(asked.map(({ text }) => text)).size).toBe(1);
    return (await generated()) - before;
  };
  // A router that gets no word in time goes ahead alone, which on a busy machine may be any of them.
  await expect.poll(stampede, { timeout: 30_000 }).toBe(TOKENS);
}, 60_000);

it('Redis dies, freezes and comes back: no request fails, and what is shared is shared again', async (context) => {
  await using both = await pair(context);
  const { redis } = both;
  await shares(both);
  await redis.kill();
  for (let i = 0; i < 5; i++) expect(await sourceOf(both)).not.toBe(CacheSource.CACHE_SOURCE_REDIS);
  await redis.restart();
  await shares(both);
  redis.freeze();
  for (let i = 0; i < 5; i++) expect(await sourceOf(both)).not.toBe(CacheSource.CACHE_SOURCE_REDIS);
  redis.thaw();
  await shares(both);
}, 60_000);

it('nothing that a client sent stands in Redis in the clear', async (context) => {
  await using both = await pair(context);
  const { redis, mesh, other } = both;
  await shares(both);
  const canary = 'canary-4711';
  const input = fresh({
    messages: [
      { role: 'system', text: `${canary} system` },
      { role: 'user', text: `${canary} user` },
    ],
    stop: [`${canary} stop`],
    sessionId: canary,
    idempotencyKey: canary,
    labels: { [canary]: canary },
  });
  await mesh.client.ask(input);
  await expect
    .poll(async () => (await other.client.ask({ ...input, idempotencyKey: `${canary}-2` })).finished.cached)
    .toBeDefined();
  const names = (await redis.call('KEYS', '*')) as string[];
  expect(names.length).toBeGreaterThan(0);
  expect(names.filter((name) => name.includes('canary'))).toEqual([]);
  for (const name of names) {
    const type = (await redis.call('TYPE', name)) as string;
    // A lease that has been given back since.
    if (type === 'none') continue;
    const read = {
      string: ['GET', name],
      hash: ['HGETALL', name],
      stream: ['XRANGE', name, '-', '+'],
      zset: ['ZRANGE', name, 0, -1],
    }[type];
    if (!read) throw new Error(`a value of type ${type} that this test can't read`);
    expect(JSON.stringify(await redis.call(read[0] as string, ...read.slice(1)))).not.toContain('canary');
  }
  for (const member of [mesh.router, other.member]) expect(member.output()).not.toContain('canary');
}, 60_000);
