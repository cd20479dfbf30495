import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MeshCache } from '../../cache/cache.ts';
import { MemoryStore } from '../../cache/memory-store.ts';
import { shrinkWith } from '../../cache/shrinking.ts';
import { CachedAnswer } from '../../proto/gen/infermesh/v1/cache.ts';
import type { CacheEvent } from '../../telemetry/cache-events.ts';
import { FakeClock } from './fakes.ts';

const MIB = 2 ** 20;

/** A router with 1,000 MiB and a cache of 64, of which `held` is in use. */
function router() {
  const clock = new FakeClock();
  const state = { used: 0, held: 32 * MIB, shares: [] as number[] };
  const events: CacheEvent[] = [];
  const stop = shrinkWith({
    memory: () => ({ usedBytes: state.used * 1000 * MIB, limitBytes: 1000 * MIB, stalled: 0 }),
    layers: [
      {
        held: {
          get bytes() {
            return state.held;
          },
        },
        resize: (share) => state.shares.push(share),
      },
    ],
    memoryBytes: 64 * MIB,
    clock,
    tell: (event) => events.push(event),
  });
  const seconds = (count: number, use: number) => {
    state.used = use;
    for (let second = 0; second < count; second++) clock.advance(1000);
  };
  return { clock, state, events, stop, seconds };
}

describe('a cache in a router that is short of memory', () => {
  test('keeps a half after 10 s, then a quarter, and never less than an eighth', () => {
    const { state, events, seconds } = router();
    seconds(10, 0.85);
    expect(state.shares).toEqual([]);
    seconds(60, 0.85);
    expect(state.shares).toEqual([1 / 2, 1 / 4, 1 / 8]);
    expect(events[0]).toEqual({ type: 'cache_shrunk', cacheBytes: 32 * MIB, usedBytes: 850 * MIB, limitBytes: 1000 * MIB });
  });

  test('stays as it is between the marks, and has its memory back a minute after it is free, step by step', () => {
    const { state, events, seconds } = router();
    seconds(25, 0.9);
    seconds(500, 0.8);
    expect(state.shares).toEqual([1 / 2, 1 / 4]);
    seconds(60, 0.5);
    expect(state.shares).toHaveLength(2);
    seconds(70, 0.5);
    expect(state.shares).toEqual([1 / 2, 1 / 4, 1 / 2, 1]);
    expect(events.map(({ type }) => type)).toEqual(['cache_shrunk', 'cache_shrunk', 'cache_grown', 'cache_grown']);
  });

  test('stays as it is where it is small beside the limit', () => {
    const { state, seconds } = router();
    state.held = 9 * MIB;
    seconds(100, 0.99);
    expect(state.shares).toEqual([]);
  });

  test('whatever memory does: one step at a time, none sooner than 10 s after another, and whole at last', () => {
    const phase = fc.record({ seconds: fc.integer({ min: 1, max: 90 }), use: fc.double({ min: 0, max: 1.1, noNaN: true }) });
    fc.assert(
      fc.property(fc.array(phase, { maxLength: 20 }), (phases) => {
        const { clock, state, stop, seconds } = router();
        let [movedAt, share] = [Number.NEGATIVE_INFINITY, 1];
        for (const { seconds: count, use } of [...phases, { seconds: 250, use: 0.1 }]) {
          for (let second = 0; second < count; second++) {
            seconds(1, use);
            const now = state.shares.at(-1) ?? 1;
            if (now === share) continue;
            expect([share / 2, share * 2]).toContain(now);
            expect(clock.now() - movedAt).toBeGreaterThanOrEqual(now < share ? 10_000 : 60_000);
            [movedAt, share] = [clock.now(), now];
          }
        }
        expect(share).toBe(1);
        stop();
        expect(clock.pending).toBe(0);
      }),
      { seed: 6, numRuns: 100 },
    );
  });
});

test('of what is held the least recently used go, and more fits in again later', () => {
  const clock = new FakeClock();
  let used = 0.9;
  const cache = new MeshCache({
    secret: 'a secret of the mesh, for tests only',
    memoryBytes: 2 * MIB,
    store: new MemoryStore(MIB, clock),
    memory: () => ({ usedBytes: used * 10 * MIB, limitBytes: 10 * MIB, stalled: 0 }),
    clock,
    tell: () => {},
  });
  const tenant = cache.keys.of('acme');
  const keys = Array.from({ length: 60 }, (_, at) => tenant.key('answers', Buffer.from(`prompt ${at}`)));
  const put = () =>
    keys.map((key, at) => cache.answers.put(key, CachedAnswer.fromPartial({ requestId: `${at}`, deltas: Buffer.alloc(12_000) })));
  const present = () => keys.filter((key) => cache.answers.peek(key) !== undefined);
  put();
  expect(present()).toHaveLength(60);
  for (let second = 0; second < 12; second++) clock.advance(1000);
  expect(present().length).toBeLessThan(45);
  expect(present()).toEqual(keys.slice(-present().length));
  put();
  expect(present().length).toBeLessThan(45);
  expect(cache.stats().layers[0]?.bytesLimit).toBe((2 * MIB * 17) / 32 / 2);
  used = 0.5;
  for (let second = 0; second < 62; second++) clock.advance(1000);
  put();
  expect(present()).toHaveLength(60);
});
