/** What every store of sealed values must do, wherever it keeps them. */
import { randomBytes } from 'node:crypto';
import type { TestContext } from 'vitest';
import { describe, expect, test } from 'vitest';
import type { Store } from '../../cache/port.ts';

export interface StoreSubject {
  readonly store: Store;
  /** What another router sees of it; the same store where it is of one process. */
  readonly other: Store;
  /** Lets so much of a name's lifetime pass. */
  age(name: string, ms: number): Promise<void>;
}

const LONG_MS = 60_000;
const value = (text: string) => Buffer.from(text);

/** @param open called for each test; it may give the same one each time */
export function storeContract(name: string, open: (context: TestContext) => Promise<StoreSubject>): void {
  // A server may be lent, and hold other names.
  const fresh = () => `test:${randomBytes(12).toString('hex')}:`;

  describe(`${name} is a store`, () => {
    test('what was set is there, byte for byte, for every router', async (context) => {
      const { store, other } = await open(context);
      const key = fresh();
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      expect(await store.get(key)).toBeUndefined();
      expect(await store.set(key, bytes, LONG_MS)).toBe(true);
      expect(await store.get(key)).toEqual(bytes);
      expect(await other.get(key)).toEqual(bytes);
      expect(await store.set(key, value('another'), LONG_MS)).toBe(true);
      expect(await other.get(key)).toEqual(value('another'));
    });

    test.for([65_535, 65_536, 65_537, 300_000, 1 << 20])('a value of %i bytes comes back whole', async (size, context) => {
      const { store, other } = await open(context);
      const key = fresh();
      const bytes = randomBytes(size);
      expect(await store.set(key, bytes, LONG_MS)).toBe(true);
      expect(bytes.equals((await other.get(key)) as Buffer)).toBe(true);
    });

    test('many are found at once, in the order of their names', async (context) => {
      const { store } = await open(context);
      const prefix = fresh();
      const names = Array.from({ length: 600 }, (_, index) => `${prefix}${index}`);
      await Promise.all(names.filter((_, index) => index % 3 === 0).map((one) => store.set(one, value(one), LONG_MS)));
      const found = await store.getAll(names);
      expect(found.map((one) => one?.toString())).toEqual(names.map((one, index) => (index % 3 === 0 ? one : undefined)));
      expect(await store.getAll([])).toEqual([]);
    });

    test('a value is there for its lifetime and not for longer', async (context) => {
      const { store, age } = await open(context);
      const key = fresh();
      await store.set(key, value('here'), 10_000);
      await age(key, 9_000);
      expect(await store.get(key)).toEqual(value('here'));
      await age(key, 1_001);
      expect(await store.get(key)).toBeUndefined();
    });

    test('setting anew begins a new lifetime', async (context) => {
      const { store, age } = await open(context);
      const key = fresh();
      await store.set(key, value('first'), 1_000);
      await store.set(key, value('second'), 10_000);
      await age(key, 5_000);
      expect(await store.get(key)).toEqual(value('second'));
    });

    test('what is deleted is gone, and counted if it was there', async (context) => {
      const { store, other } = await open(context);
      const [one, two, none] = [fresh(), fresh(), fresh()];
      await store.set(one, value('1'), LONG_MS);
      await store.set(two, value('2'), LONG_MS);
      expect(await other.delete([one, two, none])).toBe(2);
      expect(await store.getAll([one, two])).toEqual([undefined, undefined]);
      expect(await store.delete([])).toBe(0);
    });

    test('one owner at a time takes a name, and has it until he gives it up', async (context) => {
      const { store, other } = await open(context);
      const key = fresh();
      expect(await store.take(key, 'ours', LONG_MS)).toBe('taken');
      expect(await store.take(key, 'ours', LONG_MS)).toBe('taken');
      expect(await other.take(key, 'theirs', LONG_MS)).toBe('busy');
      await other.giveUp(key, 'theirs');
      expect(await other.take(key, 'theirs', LONG_MS)).toBe('busy');
      await store.giveUp(key, 'ours');
      expect(await other.take(key, 'theirs', LONG_MS)).toBe('taken');
    });

    test('of many who take a name at once, one gets it', async (context) => {
      const { store, other } = await open(context);
      const key = fresh();
      const takes = Array.from({ length: 50 }, (_, index) => (index % 2 ? store : other).take(key, `owner ${index}`, LONG_MS));
      expect((await Promise.all(takes)).filter((outcome) => outcome === 'taken')).toHaveLength(1);
    });

    test('what was taken is free again when its time is over, and longer if it was taken again', async (context) => {
      const { store, other, age } = await open(context);
      const key = fresh();
      await store.take(key, 'ours', 10_000);
      await age(key, 9_000);
      await store.take(key, 'ours', 10_000);
      await age(key, 9_000);
      expect(await other.take(key, 'theirs', 10_000)).toBe('busy');
      await age(key, 1_001);
      expect(await other.take(key, 'theirs', 10_000)).toBe('taken');
    });

    test('a purge takes every name that begins so, and no other', async (context) => {
      const { store, other } = await open(context);
      const [mine, yours] = [fresh(), fresh()];
      const names = Array.from({ length: 700 }, (_, index) => `${mine}${index}`);
      for (const one of names) await store.set(one, value(one), LONG_MS);
      await store.set(`${yours}${mine}`, value('stays'), LONG_MS);
      expect(await other.purge(mine)).toBe(names.length);
      expect((await store.getAll(names)).filter((one) => one !== undefined)).toEqual([]);
      expect(await store.get(`${yours}${mine}`)).toEqual(value('stays'));
    });

    test('a purge takes a prefix for what it says, not for a pattern', async (context) => {
      const { store } = await open(context);
      const base = fresh();
      for (const rest of ['*', '?', '[a-z]', '\\', 'x', 'a']) await store.set(`${base}${rest}1`, value(rest), LONG_MS);
      for (const rest of ['*', '?', '[a-z]', '\\']) expect(await store.purge(`${base}${rest}`)).toBe(1);
      expect(await store.purge(base)).toBe(2);
    });
  });
}
