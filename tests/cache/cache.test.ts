import { describe, expect, it, vi } from 'vitest';
import type { CacheParts } from '../../cache/cache.ts';
import { MeshCache } from '../../cache/cache.ts';
import { openCache, openNoCache } from '../../cache/index.ts';
import { MemoryStore } from '../../cache/memory-store.ts';
import { CacheLayer, PurgeCacheRequest, RedisState } from '../../proto/gen/infermesh/v1/admin.ts';
import { CachedAnswer, CachedModel } from '../../proto/gen/infermesh/v1/cache.ts';
import type { CacheEvent } from '../../telemetry/cache-events.ts';
import { FakeClock, FakeRedis, settled } from './fakes.ts';

const SECRET = 'a secret of the mesh, for tests only';
const MEMORY_BYTES = 8 << 20;
const content = Buffer.from('what is asked');

/** One router of a mesh. */
function routerOn(more: Partial<CacheParts> = {}) {
  const clock = (more.clock as FakeClock | undefined) ?? new FakeClock();
  const events: CacheEvent[] = [];
  const store = new MemoryStore(1 << 20, clock);
  const cache = new MeshCache({
    secret: SECRET,
    memoryBytes: MEMORY_BYTES,
    store,
    clock,
    tell: (event) => events.push(event),
    ...more,
  });
  return { cache, clock, events };
}

function mesh() {
  const [store, clock] = [new FakeRedis(), new FakeClock()];
  const [one, other] = [routerOn({ store, clock }), routerOn({ store, clock })];
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 1000) {
      clock.advance(1000);
      await settled();
    }
  };
  return { store, clock, one, other, pass };
}

/** Something in each layer, for a tenant. */
function fill(cache: MeshCache, tenant: string | undefined): void {
  const keys = cache.keys.of(tenant);
  cache.answers.put(keys.key('answers', content), CachedAnswer.create());
  cache.choices.put(keys.key('choices', content), CachedModel.create());
  cache.evidence.put(keys.key('evidence', content), { evidence: { chunks: [] }, putAtMs: 0 });
  cache.embeddings.put(keys.key('embeddings', content), Float32Array.of(1));
}

/** Which layers have it, in memory or in the store. */
async function left(cache: MeshCache, tenant: string | undefined): Promise<string> {
  const keys = cache.keys.of(tenant);
  const found = await Promise.all([
    cache.answers.find(keys.key('answers', content)),
    cache.choices.find(keys.key('choices', content)),
    cache.evidence.find(keys.key('evidence', content)),
    cache.embeddings.find(keys.key('embeddings', content)),
  ]);
  return ['a', 'c', 'e', 'd'].filter((_letter, index) => found[index]).join('');
}

const everything = PurgeCacheRequest.create();
const purge = (request: Parameters<typeof PurgeCacheRequest.fromPartial>[0]) => PurgeCacheRequest.fromPartial(request);

describe('a purge', () => {
  it.each<[string, PurgeCacheRequest, string, string]>([
    ['of everything', everything, '', ''],
    ['of a layer', purge({ layer: CacheLayer.CACHE_LAYER_EVIDENCE }), 'acd', 'acd'],
    ['of the answers, with the choices that led to them', purge({ layer: CacheLayer.CACHE_LAYER_ANSWERS }), 'ed', 'ed'],
    ['of a tenant', purge({ tenant: 'acme' }), '', 'aced'],
    ['of who has no tenant', purge({ tenant: '' }), 'aced', ''],
    ['of a tenant’s layer', purge({ tenant: 'acme', layer: CacheLayer.CACHE_LAYER_EMBEDDINGS }), 'ace', 'aced'],
    ['of a tenant that is not there', purge({ tenant: 'bolt' }), 'aced', 'aced'],
  ])('%s leaves the rest', async (_name, request, ofAcme, ofNobody) => {
    for (const { cache } of [routerOn(), mesh().one]) {
      fill(cache, 'acme');
      fill(cache, undefined);
      await settled();
      const purged = await cache.purge(request);
      expect(await left(cache, 'acme')).toBe(ofAcme);
      expect(await left(cache, undefined)).toBe(ofNobody);
      const gone = 8 - ofAcme.length - ofNobody.length;
      expect(purged).toEqual({ memory: gone, redis: cache.store.kind === 'redis' ? gone : 0 });
    }
  });

  it('reaches every router within seconds', async () => {
    const { one, other, pass } = mesh();
    fill(one.cache, 'acme');
    await settled();
    expect(await left(other.cache, 'acme')).toBe('aced');
    await one.cache.purge(everything);
    await pass(2000);
    expect(await left(other.cache, 'acme')).toBe('');
  });

  it('also forgets what another router was about to write', async () => {
    const { one, other, store, pass } = mesh();
    const release = store.hold();
    fill(other.cache, 'acme');
    await settled();
    await Promise.all([one.cache.purge(everything), settled().then(release)]);
    await settled();
    expect(store.values.has(one.cache.keys.of('acme').key('answers', content).name)).toBe(true);
    await pass(8000);
    expect(await left(one.cache, 'acme')).toBe('');
    expect(await left(other.cache, 'acme')).toBe('');
  });

  it('is made up for when Redis was away', async () => {
    const { one, other, store, pass } = mesh();
    fill(one.cache, 'acme');
    await settled();
    expect(await left(other.cache, 'acme')).toBe('aced');
    store.isDown = true;
    expect(await one.cache.purge(everything)).toEqual({ memory: 4, redis: 0 });
    await pass(5000);
    store.isDown = false;
    await pass(8000);
    expect(await left(one.cache, 'acme')).toBe('');
    expect(await left(other.cache, 'acme')).toBe('');
  });

  it('is learnt of by a router that was cut off for long, and once only', async () => {
    const { one, other, pass } = mesh();
    for (let index = 0; index < 3; index++) await one.cache.purge(everything);
    await pass(10_000);
    fill(other.cache, 'acme');
    await pass(10_000);
    expect(await left(other.cache, 'acme')).toBe('aced');
  });

  it('of two routers at the same time reaches both', async () => {
    const { one, other, pass } = mesh();
    for (const { cache } of [one, other]) {
      fill(cache, 'acme');
      fill(cache, 'bolt');
    }
    await settled();
    await Promise.all([one.cache.purge(purge({ tenant: 'acme' })), other.cache.purge(purge({ tenant: 'bolt' }))]);
    await pass(3000);
    for (const { cache } of [one, other]) expect((await left(cache, 'acme')) + (await left(cache, 'bolt'))).toBe('');
  });

  it('makes the others forget everything that they hold where too many are made', async () => {
    const { one, other, pass } = mesh();
    fill(one.cache, 'acme');
    await settled();
    await left(other.cache, 'acme');
    for (let index = 0; index < 70; index++) await one.cache.purge(purge({ tenant: `tenant-${index}` }));
    await pass(3000);
    expect(other.cache.stats().layers.map(({ entries }) => entries)).toEqual([0, 0, 0]);
    expect(await left(other.cache, 'acme')).toBe('aced');
  });

  it('is not to be forged', async () => {
    const { one, other, store, pass } = mesh();
    await one.cache.purge(purge({ tenant: 'bolt' }));
    fill(one.cache, 'acme');
    await settled();
    const list = one.cache.keys.ofMesh('purges').name;
    expect(store.values.has(list)).toBe(true);
    store.values.set(list, Buffer.from(JSON.stringify([{ id: 'x', at: one.clock.wall(), prefixes: ['im1:'] }])));
    await pass(3000);
    expect(await left(one.cache, 'acme')).toBe('aced');
    expect(await left(other.cache, 'acme')).toBe('aced');
  });
});

it('1,000 pairs of tenants with the same content never meet, and each finds its own at both routers', async () => {
  const { one, other } = mesh();
  const answerOf = ({ cache }: typeof one, tenant: string) =>
    cache.answers.find(cache.keys.of(tenant).key('answers', content)).then((hit) => hit?.value.requestId);
  for (let pair = 0; pair < 1000; pair++) {
    const key = one.cache.keys.of(`a${pair}`).key('answers', content);
    one.cache.answers.put(key, CachedAnswer.fromPartial({ requestId: `a${pair}` }));
  }
  await vi.waitUntil(() => one.cache.stats().layers[0]?.writes === 1000);
  let found = 0;
  for (let pair = 0; pair < 1000; pair++) {
    for (const router of [one, other]) {
      expect(await answerOf(router, `b${pair}`)).toBeUndefined();
      if ((await answerOf(router, `a${pair}`)) === `a${pair}`) found++;
    }
  }
  expect(found).toBe(2000);
});

describe('routers with different secrets', () => {
  it('share nothing, and are told so once', async () => {
    const { store, clock, one, pass } = mesh();
    await pass(2000);
    const stranger = routerOn({ store, clock, secret: 'another secret of another mesh' });
    fill(one.cache, undefined);
    await settled();
    await pass(200_000);
    expect(stranger.events).toEqual([{ type: 'cache_secret_differs' }]);
    expect(one.events).toEqual([]);
    expect(await left(stranger.cache, undefined)).toBe('');
  });

  it('are told of as soon as Redis is there', async () => {
    const { store, clock, one, pass } = mesh();
    store.isDown = true;
    const stranger = routerOn({ store, clock, secret: 'another secret of another mesh' });
    await pass(5000);
    expect([...one.events, ...stranger.events]).toEqual([]);
    store.isDown = false;
    await pass(3000);
    expect([...one.events, ...stranger.events]).toEqual([{ type: 'cache_secret_differs' }]);
  });
});

describe('the figures', () => {
  it('are of each layer, and say that there is no Redis', async () => {
    const { cache } = routerOn();
    fill(cache, 'acme');
    fill(cache, 'bolt');
    await left(cache, 'acme');
    await left(cache, 'nobody');
    const { layers, redis } = cache.stats();
    expect(redis.state).toBe(RedisState.REDIS_STATE_NONE);
    expect(layers.map(({ layer }) => layer)).toEqual([1, 2, 3]);
    for (const one of layers) expect(one).toMatchObject({ hitsMemory: 1, writes: 2, entries: 2, evicted: 0 });
    // Who does not find which model was chosen does not look for its answer.
    expect(layers.map(({ misses }) => misses)).toEqual([2, 1, 1]);
    expect(layers.reduce((sum, { bytesLimit }) => sum + bytesLimit, 0)).toBe(MEMORY_BYTES);
  });

  it('never let the layers have more than the memory', () => {
    const { cache } = routerOn({ memoryBytes: 1 << 20 });
    for (let index = 0; index < 5000; index++) {
      const key = cache.keys.of('acme').key('answers', Buffer.from(`${index}`));
      cache.answers.put(key, CachedAnswer.fromPartial({ deltas: Buffer.alloc(500) }));
    }
    const [answers] = cache.stats().layers;
    expect(answers?.bytes).toBeLessThanOrEqual(answers?.bytesLimit as number);
    expect(answers?.entries).toBeGreaterThan(50);
  });
});

describe('a cache that ends', () => {
  it('writes what was put, and leaves no timer', async () => {
    const { one, other, store, clock } = mesh();
    fill(one.cache, 'acme');
    await one.cache.purge(purge({ tenant: 'bolt' }));
    await one.cache[Symbol.asyncDispose]();
    await other.cache[Symbol.asyncDispose]();
    expect(store.values.has(one.cache.keys.of('acme').key('answers', content).name)).toBe(true);
    expect(clock.pending).toBe(0);
  });

  it('leaves no timer of a purge that is under way', async () => {
    const { one, other, clock } = mesh();
    const purging = one.cache.purge(everything);
    await Promise.all([one, other].map(({ cache }) => cache[Symbol.asyncDispose]()));
    await purging;
    await settled();
    expect(clock.pending).toBe(0);
  });

  it('does not wait for a store that takes nothing', async () => {
    const { one, store, clock } = mesh();
    store.hold();
    fill(one.cache, 'acme');
    const closed = one.cache[Symbol.asyncDispose]();
    await settled();
    clock.advance(1000);
    await closed;
  });
});

describe('a cache that is off', () => {
  it('has nothing, and leases all the same', async () => {
    const { cache } = openNoCache(new FakeClock());
    const key = cache.keys.of('acme').key('answers', content);
    cache.answers.put(key, CachedAnswer.create());
    expect(cache.answers.peek(key)).toBeUndefined();
    expect(await cache.answers.findAll([key, key])).toEqual([undefined, undefined]);
    expect(await cache.answers.delete(key)).toBe(false);
    expect(await cache.purge(everything)).toEqual({ memory: 0, redis: 0 });
    expect(cache.stats().layers).toEqual([]);
    expect(await cache.store.take('lease', 'me', 1000)).toBe('taken');
    expect(await cache.store.take('lease', 'you', 1000)).toBe('busy');
  });
});

describe('the door', () => {
  const options = { secret: SECRET, memoryBytes: MEMORY_BYTES, clock: new FakeClock(), tell: () => {} };

  it('opens a cache in memory where no Redis is named', async () => {
    const { cache, link } = await openCache(options);
    expect(link).toBeUndefined();
    expect(cache.store.kind).toBe('memory');
  });

  it('refuses a URL that is none, without repeating it', async () => {
    const opening = openCache({ ...options, url: 'http://user:hunter2@host' });
    await expect(opening).rejects.toMatchObject({ reason: 'INVALID_REQUEST', message: expect.stringContaining('--redis') });
    await expect(opening).rejects.not.toMatchObject({ message: expect.stringContaining('hunter2') });
  });
});
