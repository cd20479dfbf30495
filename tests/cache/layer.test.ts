import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { answerCodec, evidenceCodec, frozen, modelCodec, vectorCodec } from '../../cache/codecs.ts';
import { MAX_VALUE_BYTES } from '../../cache/envelope.ts';
import { SecretKeyring } from '../../cache/keyring.ts';
import { CacheLayer } from '../../cache/layer.ts';
import { MAX_TTL_MS } from '../../cache/sealed-value.ts';
import { Writer } from '../../cache/writer.ts';
import { CachedAnswer, CachedModel, Evidence } from '../../proto/gen/infermesh/v1/cache.ts';
import { FakeClock, FakeRedis, settled } from './fakes.ts';

const keys = new SecretKeyring('a secret of the mesh, for tests only').of('acme');
const keyOf = (content: string) => keys.key('answers', Buffer.from(content));
const answer = (text: string) => CachedAnswer.fromPartial({ requestId: text, deltas: Buffer.from(text) });
const TTL_MS = 60_000;

interface LayerOptions {
  readonly redis?: FakeRedis;
  readonly clock?: FakeClock;
  readonly limit?: number;
  readonly believedMs?: number | undefined;
}

function layerOn({ redis, clock = new FakeClock(), limit = 1 << 20, believedMs }: LayerOptions) {
  let dropping = 0;
  const writer = redis && new Writer(redis, () => dropping++);
  const shared = redis && writer ? { store: redis, writer } : undefined;
  const layer = new CacheLayer({ name: 'answers', codec: answerCodec, ttlMs: TTL_MS, limit, shared, believedMs, clock });
  return { layer, clock, writer, dropping: () => dropping };
}

async function twoRouters(believedMs?: number) {
  const redis = new FakeRedis();
  const clock = new FakeClock();
  const options = { redis, clock, ...(believedMs === undefined ? {} : { believedMs }) };
  const [one, other] = [layerOn(options), layerOn(options)];
  return { redis, clock, one: one.layer, other: other.layer };
}

describe('a layer in memory', () => {
  it('has what was put, until its time is over', async () => {
    const { layer, clock } = layerOn({});
    layer.put(keyOf('a'), answer('x'));
    clock.advance(TTL_MS);
    expect(layer.peek(keyOf('a'))?.value.requestId).toBe('x');
    clock.advance(1);
    expect(layer.peek(keyOf('a'))).toBeUndefined();
    expect(await layer.find(keyOf('a'))).toBeUndefined();
    expect(layer.counts).toMatchObject({ hitsMemory: 1, misses: 1, writes: 1 });
  });

  it('keeps a value for as long as it was put for, and never longer than a day', () => {
    const { layer, clock } = layerOn({});
    layer.put(keyOf('a'), answer('x'), 5);
    layer.put(keyOf('b'), answer('y'), 10 * MAX_TTL_MS);
    clock.advance(6);
    expect(layer.peek(keyOf('a'))).toBeUndefined();
    expect(layer.peek(keyOf('b'))).toBeDefined();
    clock.advance(MAX_TTL_MS);
    expect(layer.peek(keyOf('b'))).toBeUndefined();
  });

  it('is bounded by bytes, and the least recently used go first', () => {
    const { layer } = layerOn({ limit: 40_000 });
    for (let index = 0; index < 100; index++) {
      layer.put(keyOf(`${index}`), answer('x'.repeat(1000)));
      layer.peek(keyOf('0'));
    }
    expect(layer.held.bytes).toBeLessThanOrEqual(40_000);
    expect(layer.held.evicted).toBe(100 - layer.held.count);
    expect(layer.peek(keyOf('0'))).toBeDefined();
    expect(layer.peek(keyOf('1'))).toBeUndefined();
    expect(layer.peek(keyOf('99'))).toBeDefined();
  });

  it('does not keep what is too large, nor what was there before it', () => {
    const { layer } = layerOn({ limit: 40_000 });
    layer.put(keyOf('a'), answer('x'));
    layer.put(keyOf('a'), answer('x'.repeat(40_000)));
    expect(layer.peek(keyOf('a'))).toBeUndefined();
    expect(layer.counts.tooLarge).toBe(1);
  });

  it('says whether there was what it deletes', async () => {
    const { layer } = layerOn({});
    layer.put(keyOf('a'), answer('x'));
    expect(await layer.delete(keyOf('a'))).toBe(true);
    expect(await layer.delete(keyOf('a'))).toBe(false);
    expect(layer.peek(keyOf('a'))).toBeUndefined();
  });

  it('gives values that nobody can change', () => {
    const { layer } = layerOn({});
    layer.put(keyOf('a'), CachedAnswer.fromPartial({ usage: { inputTokens: 1 } }));
    const value = layer.peek(keyOf('a'))?.value as CachedAnswer;
    expect(() => Object.assign(value, { node: 'x' })).toThrow(TypeError);
    expect(() => Object.assign(value.usage as object, { inputTokens: 2 })).toThrow(TypeError);
  });
});

describe('routers that share a store', () => {
  it('have what one of them put, for what is left of its time', async () => {
    const { one, other, clock } = await twoRouters();
    one.put(keyOf('a'), answer('x'));
    expect(one.peek(keyOf('a'))).toMatchObject({ from: 'memory' });
    await settled();
    clock.advance(TTL_MS - 10);
    expect(await other.find(keyOf('a'))).toMatchObject({ value: { requestId: 'x' }, from: 'redis' });
    expect(await other.find(keyOf('a'))).toMatchObject({ value: { requestId: 'x' }, from: 'memory' });
    clock.advance(11);
    expect(await other.find(keyOf('a'))).toBeUndefined();
    expect(other.counts).toMatchObject({ hitsMemory: 1, hitsRedis: 1, misses: 1 });
  });

  it('take nothing whose time is over, whatever the clock of the store says', async () => {
    const { one, other, clock, redis } = await twoRouters();
    one.put(keyOf('a'), answer('x'));
    await settled();
    expect(redis.ttls.get(keyOf('a').name)).toBe(TTL_MS);
    clock.advance(TTL_MS + 1);
    expect(redis.values.size).toBe(1);
    expect(await other.find(keyOf('a'))).toBeUndefined();
    expect(other.counts.rejected).toBe(0);
  });

  it('ask the store once for what several requests look for', async () => {
    const { one, other, redis } = await twoRouters();
    one.put(keyOf('a'), answer('x'));
    one.put(keyOf('b'), answer('y'));
    await settled();
    const release = redis.hold();
    const finds = [other.find(keyOf('a')), other.find(keyOf('a')), other.findAll(['a', 'b', 'c', 'b'].map(keyOf))];
    release();
    const found = (await Promise.all(finds)).flat();
    expect(found.map((hit) => hit?.value.requestId)).toEqual(['x', 'x', 'x', 'y', undefined, 'y']);
    expect(redis.reads).toBe(2);
    expect(other.counts).toMatchObject({ hitsRedis: 5, misses: 1 });
  });

  it('see no older value than the one that was put while the store was asked', async () => {
    const { one, other, redis } = await twoRouters();
    one.put(keyOf('a'), answer('old'));
    await settled();
    const release = redis.hold();
    const found = other.find(keyOf('a'));
    other.put(keyOf('a'), answer('new'));
    release();
    expect((await found)?.value.requestId).toBe('new');
    await settled();
    expect(other.peek(keyOf('a'))?.value.requestId).toBe('new');
  });

  it.each<[string, (layer: CacheLayer<CachedAnswer>) => unknown]>([
    ['deleted', (layer) => layer.delete(keyOf('a'))],
    ['purged', (layer) => layer.purge('im1:a:')],
  ])('see nothing of what was %s while the store was asked', async (_how, forget) => {
    const { one, other, redis } = await twoRouters();
    one.put(keyOf('a'), answer('old'));
    await settled();
    const release = redis.hold();
    const found = other.find(keyOf('a'));
    forget(other);
    release();
    expect(await found).toBeUndefined();
    expect(other.peek(keyOf('a'))).toBeUndefined();
  });

  it('do not write what was deleted or replaced before its turn', async () => {
    const { one, redis } = await twoRouters();
    one.put(keyOf('a'), answer('x'));
    await one.delete(keyOf('a'));
    one.put(keyOf('b'), answer('x'));
    one.put(keyOf('b'), answer('y'));
    await settled();
    expect([...redis.values.keys()]).toEqual([keyOf('b').name]);
    expect(one.counts.writes).toBe(1);
  });

  it('take what is not theirs for absent, and delete it', async () => {
    const { one, other, redis } = await twoRouters();
    one.put(keyOf('a'), answer('x'));
    await settled();
    const sealed = redis.values.get(keyOf('a').name) as Buffer;
    const forged = [
      ['moved', sealed],
      ['foreign', Buffer.from('{"answer": "yes"}')],
      ['empty', Buffer.alloc(0)],
      ['cut', sealed.subarray(0, 40)],
    ] as const;
    for (const [name, value] of forged) redis.values.set(keyOf(name).name, value);
    // Sealed by who has the secret, and no value of this kind.
    redis.values.set(keyOf('short').name, keyOf('short').seal(Buffer.from('short')));
    redis.values.set(keyOf('other').name, keyOf('other').seal(Buffer.alloc(64, 0xff)));
    redis.values.set(keyOf('garbage').name, keyOf('garbage').seal(Buffer.concat([Buffer.alloc(8, 0x41), Buffer.alloc(9, 0xff)])));
    const names = ['moved', 'foreign', 'cut', 'short', 'other', 'garbage'];
    expect(await other.findAll(names.map(keyOf))).toEqual(names.map(() => undefined));
    expect(other.counts).toMatchObject({ rejected: names.length, misses: names.length });
    await settled();
    expect(names.filter((name) => redis.values.has(keyOf(name).name))).toEqual([]);
  });

  it('go on alone while the store is away', async () => {
    const { one, other, redis } = await twoRouters();
    redis.isDown = true;
    one.put(keyOf('a'), answer('x'));
    await settled();
    expect(one.peek(keyOf('a'))?.value.requestId).toBe('x');
    expect(await other.find(keyOf('a'))).toBeUndefined();
    expect(one.counts.writes).toBe(0);
  });

  it('do not write what is larger than a value may be', async () => {
    const { redis, clock } = await twoRouters();
    const { layer } = layerOn({ redis, clock, limit: 64 << 20 });
    layer.put(keyOf('a'), answer('x'.repeat(MAX_VALUE_BYTES)));
    layer.put(keyOf('b'), answer('x'.repeat(3 * MAX_VALUE_BYTES)));
    await settled();
    expect(redis.values.size).toBe(0);
    expect(layer.counts.tooLarge).toBe(2);
  });
});

describe('what is not believed for long', () => {
  const BELIEVED_MS = 5000;

  /** One that both routers have in memory. */
  async function both() {
    const routers = await twoRouters(BELIEVED_MS);
    routers.one.put(keyOf('a'), answer('old'));
    await settled();
    await routers.other.find(keyOf('a'));
    return routers;
  }

  it('is given from memory for so long, then asked for again', async () => {
    const { other, clock, redis } = await both();
    clock.advance(BELIEVED_MS - 1);
    expect(await other.find(keyOf('a'))).toMatchObject({ from: 'memory' });
    clock.advance(1);
    expect(other.peek(keyOf('a'))).toBeUndefined();
    expect(await other.find(keyOf('a'))).toMatchObject({ from: 'redis' });
    expect(redis.reads).toBe(2);
    expect(other.peek(keyOf('a'))).toBeDefined();
  });

  it('is what another router has put in its place', async () => {
    const { one, other, clock } = await both();
    one.put(keyOf('a'), answer('new'));
    await settled();
    clock.advance(BELIEVED_MS);
    expect((await other.find(keyOf('a')))?.value.requestId).toBe('new');
  });

  it('is gone when another router has deleted it', async () => {
    const { one, other, clock } = await both();
    await one.delete(keyOf('a'));
    clock.advance(BELIEVED_MS);
    expect(await other.find(keyOf('a'))).toBeUndefined();
    expect(other.held.count).toBe(0);
  });

  it('is given from memory all the same while the store is away', async () => {
    const { other, clock, redis } = await both();
    redis.isDown = true;
    clock.advance(BELIEVED_MS);
    expect(await other.find(keyOf('a'))).toMatchObject({ value: { requestId: 'old' }, from: 'memory' });
    clock.advance(TTL_MS);
    expect(await other.find(keyOf('a'))).toBeUndefined();
  });

  it('does not come back when it was deleted while the store was away', async () => {
    const { one, other, clock, redis } = await both();
    redis.isDown = true;
    expect(await one.delete(keyOf('a'))).toBe(true);
    redis.isDown = false;
    expect(await one.find(keyOf('a'))).toBeUndefined();
    await one.settle();
    clock.advance(BELIEVED_MS);
    expect(await other.find(keyOf('a'))).toBeUndefined();
    expect(redis.values.size).toBe(0);
  });

  it('is no older one again when it was put while the store was away', async () => {
    const { one, other, clock, redis } = await both();
    redis.isDown = true;
    one.put(keyOf('a'), answer('new'));
    await settled();
    await one.settle();
    redis.isDown = false;
    clock.advance(BELIEVED_MS);
    expect((await one.find(keyOf('a')))?.value.requestId).toBe('new');
    await one.settle();
    expect((await other.find(keyOf('a')))?.value.requestId).toBe('new');
    clock.advance(TTL_MS - BELIEVED_MS + 1);
    expect([await one.find(keyOf('a')), await other.find(keyOf('a'))]).toEqual([undefined, undefined]);
  });

  it('is what was put last, whatever became of what was put and deleted before', async () => {
    const { one, other, clock, redis } = await both();
    redis.isDown = true;
    one.put(keyOf('a'), answer('newer'));
    await settled();
    await one.delete(keyOf('a'));
    redis.isDown = false;
    one.put(keyOf('a'), answer('newest'));
    await settled();
    await one.settle();
    clock.advance(BELIEVED_MS);
    for (const layer of [one, other]) expect((await layer.find(keyOf('a')))?.value.requestId).toBe('newest');
  });

  it('that is too large to be kept leaves no older one either', async () => {
    const { one, other, clock } = await both();
    one.put(keyOf('a'), answer('x'.repeat(2 << 20)));
    await settled();
    expect(await one.find(keyOf('a'))).toBeUndefined();
    clock.advance(BELIEVED_MS);
    expect(await other.find(keyOf('a'))).toBeUndefined();
  });

  it('is given from memory all the same where the store cannot tell of one of several', async () => {
    const { one, other, clock, redis } = await both();
    one.put(keyOf('b'), answer('x'));
    await settled();
    clock.advance(BELIEVED_MS);
    redis.isSilentOf.add(keyOf('a').name);
    const found = await other.findAll(['a', 'b'].map(keyOf));
    expect(found.map((hit) => hit?.from)).toEqual(['memory', 'redis']);
  });

  it('is believed for good where there is no other router', () => {
    const { layer, clock } = layerOn({ believedMs: BELIEVED_MS });
    layer.put(keyOf('a'), answer('x'));
    clock.advance(TTL_MS);
    expect(layer.peek(keyOf('a'))).toBeDefined();
  });
});

describe('writes that a store does not take fast enough', () => {
  it('are bounded by bytes; what is too much is lost, counted and told once', async () => {
    const redis = new FakeRedis();
    const { layer, writer, dropping } = layerOn({ redis, limit: 64 << 20 });
    const release = redis.hold();
    for (let index = 0; index < 40; index++) layer.put(keyOf(`${index}`), answer('x'.repeat(1 << 20)));
    await settled();
    expect(writer?.dropped).toBe(25);
    expect(dropping()).toBe(1);
    release();
    await writer?.idle();
    expect(redis.values.size).toBe(15);
    expect(layer.counts.writes).toBe(15);
    for (let index = 0; index < 40; index++) layer.put(keyOf(`${index}`), answer('x'.repeat(1 << 20)));
    expect(dropping()).toBe(2);
    await writer?.idle();
  });

  it('wait for the turn of whoever put them to end', () => {
    const redis = new FakeRedis();
    const { layer } = layerOn({ redis });
    layer.put(keyOf('a'), answer('x'));
    expect(redis.values.size).toBe(0);
  });
});

type Step =
  | { type: 'put'; router: number; key: number; value: number }
  | { type: 'delete' | 'find'; router: number; key: number }
  | { type: 'advance'; ms: number };

const router = fc.nat(1);
const key = fc.nat(2);
const steps = fc.array(
  fc.oneof(
    fc.record({ type: fc.constant('put' as const), router, key, value: fc.nat(99) }),
    fc.record({ type: fc.constantFrom('delete' as const, 'find' as const), router, key }),
    fc.record({ type: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: TTL_MS }) }),
  ) satisfies fc.Arbitrary<Step>,
  { maxLength: 40 },
);

test('whatever happens, nobody finds what was never put under that key, nor what is over, nor its own past', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const { one, other, clock } = await twoRouters();
      const puts: { key: number; value: number; until: number }[] = [];
      // What a router did last to a key is what it sees itself, unless it was over or another router did something later.
      const last = new Map<string, number | undefined>();
      for (const step of all) {
        if (step.type === 'advance') {
          clock.advance(step.ms);
          continue;
        }
        const layer = step.router === 0 ? one : other;
        if (step.type === 'put') {
          layer.put(keyOf(`${step.key}`), answer(`${step.value}`));
          puts.push({ key: step.key, value: step.value, until: clock.wall() + TTL_MS });
          last.set(`${step.router} ${step.key}`, step.value);
        } else if (step.type === 'delete') {
          await layer.delete(keyOf(`${step.key}`));
          last.set(`${step.router} ${step.key}`, undefined);
        } else {
          const hit = await layer.find(keyOf(`${step.key}`));
          const mine = last.get(`${step.router} ${step.key}`);
          const value = hit && Number(hit.value.requestId);
          if (value === undefined) continue;
          expect(puts.some((put) => put.key === step.key && put.value === value && put.until >= clock.wall())).toBe(true);
          if (hit?.from === 'memory' && mine !== undefined) expect(value).toBe(mine);
          last.set(`${step.router} ${step.key}`, hit?.from === 'redis' ? value : mine);
        }
      }
    }),
    { numRuns: 300 },
  );
});

describe('every kind of value', () => {
  it('comes back as it was', () => {
    const evidence = Evidence.fromPartial({ chunks: [{ text: 'té', source: 's', score: -0.5, metadata: { a: 'b', '': '' } }] });
    expect(evidenceCodec.decode(Buffer.from(evidenceCodec.encode({ evidence, putAtMs: 5.5 })))).toEqual({
      evidence,
      putAtMs: 5.5,
    });
    const model = CachedModel.fromPartial({ name: 'stories', digest: 'sha256:aa' });
    expect(modelCodec.decode(Buffer.from(modelCodec.encode(model)))).toEqual(model);
    const vector = Float32Array.of(0.5, -1, 0);
    // As a part of something else, at a place that no float may begin at.
    const inside = Buffer.concat([Buffer.of(1), vectorCodec.encode(vector)]).subarray(1);
    expect(vectorCodec.decode(inside)).toEqual(vector);
  });

  it('counts at least its own bytes', () => {
    const evidence = Evidence.fromPartial({ chunks: [{ text: 'x'.repeat(1000), metadata: { a: 'y'.repeat(100) } }] });
    expect(evidenceCodec.sizeOf({ evidence, putAtMs: 0 })).toBeGreaterThan(1100);
    expect(vectorCodec.sizeOf(new Float32Array(384))).toBeGreaterThan(4 * 384);
  });

  it('is frozen but for bytes', () => {
    const value = frozen({ list: [{ a: 1 }], bytes: Buffer.from('x') });
    expect(Object.isFrozen(value.list[0])).toBe(true);
    expect(() => value.bytes.fill(0)).not.toThrow();
  });
});
