/** Faults that only several servers have. */
import { expect, test } from 'vitest';
import type { RedisServer } from '../../support/redis.ts';
import { binaryOrSkip, startCluster, startSentinel } from '../../support/redis.ts';
import { openTestStore } from './open.ts';

const LONG_MS = 60_000;
/** Names of several slots on every server. */
const NAMES = Array.from({ length: 60 }, (_, index) => `name ${index}`);
const value = Buffer.from('value');

test('a server of the cluster that is killed has the cluster be down, until it is back', async (context) => {
  await using cluster = await startCluster(await binaryOrSkip(context));
  await using opened = openTestStore(cluster.url, 2_000);
  await opened.become('up');
  for (const name of NAMES) expect(await opened.store.set(name, value, LONG_MS)).toBe(true);
  await cluster.servers[1]?.kill();
  const down = opened.become('down');
  expect(await opened.store.getAll(NAMES)).toEqual(NAMES.map(() => 'unknown'));
  await down;
  await cluster.servers[1]?.restart();
  await opened.become('up');
  const stored = await Promise.all(NAMES.map((name) => opened.store.set(name, value, LONG_MS)));
  expect([stored, opened.changes]).toEqual([NAMES.map(() => true), [expect.anything(), expect.anything(), expect.anything()]]);
});

test('a server of the cluster that stands still has nothing be asked of any, until it moves', async (context) => {
  await using cluster = await startCluster(await binaryOrSkip(context));
  await using opened = openTestStore(cluster.url);
  await opened.become('up');
  cluster.servers[2]?.freeze();
  const down = opened.become('down');
  expect(await opened.store.getAll(NAMES)).toEqual(NAMES.map(() => 'unknown'));
  const { calls } = opened.link.status();
  await opened.store.getAll(NAMES);
  expect(opened.link.status().calls).toBe(calls);
  expect(await down).toEqual({ state: 'down', reason: 'LATE' });
  cluster.servers[2]?.thaw();
  await opened.become('up');
});

test('names that have moved to another server of the cluster are found there', async (context) => {
  await using cluster = await startCluster(await binaryOrSkip(context));
  await using opened = openTestStore(cluster.url, 2_000);
  await opened.become('up');
  const [first, second, third] = cluster.servers as [RedisServer, RedisServer, RedisServer];
  // What the others still say of their slots is older from here on.
  await second.call('cluster', 'bumpepoch');
  const secondId = String(await second.call('cluster', 'myid'));
  const slots = new Set(await Promise.all(NAMES.map((name) => first.call('cluster', 'keyslot', name))));
  for (const slot of slots) {
    for (const server of [second, first, third]) await server.call('cluster', 'setslot', Number(slot), 'node', secondId);
  }
  expect(await Promise.all(NAMES.map((name) => opened.store.set(name, value, LONG_MS)))).toEqual(NAMES.map(() => true));
  expect((await opened.store.getAll(NAMES)).map(String)).toEqual(NAMES.map(() => 'value'));
  expect(opened.changes).toEqual([{ state: 'up', reason: '' }]);
});

test('behind a sentinel, a master that stands still is replaced, and no master again when it moves', async (context) => {
  await using sentinel = await startSentinel(await binaryOrSkip(context));
  await using opened = openTestStore(sentinel.url, 500);
  await opened.become('up');
  expect(await opened.store.set('name', value, LONG_MS)).toBe(true);
  await sentinel.master.call('wait', 1, 5_000);
  sentinel.master.freeze();
  const down = opened.become('down');
  expect(await opened.store.get('name')).toBe('unknown');
  await down;
  await opened.become('up');
  expect(String(await opened.store.get('name'))).toBe('value');
  expect(await opened.store.set('another', value, LONG_MS)).toBe(true);
  expect(await sentinel.replica.call('exists', 'another')).toBe(1);
  sentinel.master.thaw();
  expect(await opened.store.set('third', value, LONG_MS)).toBe(true);
  expect(await sentinel.replica.call('exists', 'third')).toBe(1);
});
