import { expect, test } from 'vitest';
import { MemoryStore } from '../../cache/memory-store.ts';
import { storeContract } from '../contract/store.ts';
import { FakeClock } from '../support/clock.ts';

storeContract('memory', async () => {
  const clock = new FakeClock();
  const store = new MemoryStore(64 << 20, clock);
  return { store, other: store, age: async (_name, ms) => clock.advance(ms) };
});

test('the memory store keeps to its bytes, and the least recently used make room', async () => {
  const store = new MemoryStore(10_000, new FakeClock());
  for (const name of ['a', 'b', 'c']) expect(await store.set(name, Buffer.alloc(3_000), 1_000)).toBe(true);
  await store.get('a');
  await store.set('d', Buffer.alloc(3_000), 1_000);
  expect((await store.getAll(['a', 'b', 'c', 'd'])).map((value) => value !== undefined)).toEqual([true, false, true, true]);
});

test('what is larger than the memory store is not kept, and says so', async () => {
  const store = new MemoryStore(1_000, new FakeClock());
  expect(await store.set('large', Buffer.alloc(1_001), 1_000)).toBe(false);
  expect(await store.get('large')).toBeUndefined();
  expect(await store.take('owner'.repeat(1_000), 'one', 1_000)).toBe('unknown');
});

test('what was set is not changed by what becomes of the buffer it came from', async () => {
  const store = new MemoryStore(10_000, new FakeClock());
  const bytes = Buffer.from('value');
  await store.set('name', bytes, 1_000);
  bytes.fill(0);
  expect(String(await store.get('name'))).toBe('value');
});
