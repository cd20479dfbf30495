/** What a router sees of a Redis that is broken: nothing rejects, nothing waits for long, and it is told once. */
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { MOST_VALUE_BYTES } from '../../../cache/redis/store.ts';
import { freePort } from '../../support/ports.ts';
import { redisOrSkip } from '../../support/redis.ts';
import { PONG, startFakeRedis } from './fake-redis.ts';
import { openTestStore } from './open.ts';

const OWN = { ofItsOwn: true };
/** For what is about the answer and not about how soon it comes, beside other tests. */
const PATIENT_MS = 5_000;
const LONG_MS = 60_000;
const bytes = (text: string) => Buffer.from(text);

test('a Redis that is absent at the start is joined when it comes', async (context) => {
  const port = await freePort();
  await using opened = openTestStore(`redis://127.0.0.1:${port}`, PATIENT_MS);
  expect(await opened.store.get('name')).toBe('unknown');
  expect(await opened.store.set('name', bytes('value'), LONG_MS)).toBe(false);
  expect(await opened.store.take('name', 'owner', LONG_MS)).toBe('unknown');
  expect(await opened.become('down')).toEqual({ state: 'down', reason: 'ECONNREFUSED' });
  await using _redis = await redisOrSkip(context, { port });
  await opened.become('up');
  expect(await opened.store.set('name', bytes('value'), LONG_MS)).toBe(true);
  expect(String(await opened.store.get('name'))).toBe('value');
  expect(opened.link.status()).toMatchObject({ state: 'up', skipped: 3 });
});

test('a Redis that is killed is down at once, and up again when it is back, each told once', async (context) => {
  await using redis = await redisOrSkip(context, OWN);
  await using opened = openTestStore(redis.url, PATIENT_MS);
  const ups: number[] = [];
  opened.link.onUp(() => ups.push(opened.changes.length));
  await opened.become('up');
  redis.freeze();
  const waiting = opened.store.getAll(['a', 'b']);
  await redis.kill();
  await opened.become('down');
  expect(await waiting).toEqual(['unknown', 'unknown']);
  expect(await opened.store.get('name')).toBe('unknown');
  await redis.restart();
  await opened.become('up');
  expect(await opened.store.set('name', bytes('value'), LONG_MS)).toBe(true);
  expect(opened.changes.map(({ state }) => state)).toEqual(['up', 'down', 'up']);
  expect(ups).toHaveLength(2);
});

test('a Redis that stands still is late once for all who wait, then asked nothing until it moves', async (context) => {
  await using redis = await redisOrSkip(context, OWN);
  await using opened = openTestStore(redis.url);
  await opened.become('up');
  redis.freeze();
  const waiting = Array.from({ length: 20 }, (_, index) => opened.store.get(`name ${index}`));
  expect(await Promise.all(waiting)).toEqual(waiting.map(() => 'unknown'));
  const { calls } = opened.link.status();
  for (let index = 0; index < 50; index++) expect(await opened.store.get('name')).toBe('unknown');
  expect(opened.link.status()).toMatchObject({ calls, failed: calls, skipped: 50 });
  expect(await opened.become('down')).toEqual({ state: 'down', reason: 'LATE' });
  redis.thaw();
  await opened.become('up');
  expect(opened.changes.map(({ state }) => state)).toEqual(['up', 'down', 'up']);
});

test('a read-only Redis is read and written in vain, which is told once', async (context) => {
  await using master = await redisOrSkip(context, OWN);
  await using replica = await redisOrSkip(context, { args: ['--replicaof', `${master.host} ${master.port}`] });
  await using opened = openTestStore(replica.url, PATIENT_MS);
  await opened.become('up');
  for (let index = 0; index < 3; index++) expect(await opened.store.set('name', bytes('value'), LONG_MS)).toBe(false);
  expect(await opened.become('limited')).toEqual({ state: 'limited', reason: 'READONLY' });
  expect(await opened.store.take('lease', 'owner', LONG_MS)).toBe('unknown');
  expect(opened.changes.map(({ state }) => state)).toEqual(['up', 'limited']);
});

test('a full Redis is read and written in vain, which is told once', async (context) => {
  await using redis = await redisOrSkip(context, OWN);
  await using opened = openTestStore(redis.url, PATIENT_MS);
  await opened.become('up');
  expect(await opened.store.set('before', bytes('value'), LONG_MS)).toBe(true);
  await redis.call('config', 'set', 'maxmemory', '1');
  for (let index = 0; index < 3; index++) expect(await opened.store.set('name', bytes('value'), LONG_MS)).toBe(false);
  expect(String(await opened.store.get('before'))).toBe('value');
  expect(await opened.store.delete(['before'])).toBe(1);
  expect(opened.changes).toEqual([
    { state: 'up', reason: '' },
    { state: 'limited', reason: 'OOM' },
  ]);
});

test('a Redis that was flushed has nothing, and takes anew', async (context) => {
  await using redis = await redisOrSkip(context, OWN);
  await using opened = openTestStore(redis.url, PATIENT_MS);
  await opened.become('up');
  await opened.store.set('name', bytes('value'), LONG_MS);
  await opened.store.take('lease', 'owner', LONG_MS);
  await redis.call('flushall');
  expect(await opened.store.get('name')).toBeUndefined();
  await opened.store.giveUp('lease', 'owner');
  expect(await opened.store.take('lease', 'another', LONG_MS)).toBe('taken');
  expect(opened.changes).toEqual([{ state: 'up', reason: '' }]);
});

test('a foreign value under the name of a lease keeps nobody waiting', async (context) => {
  await using redis = await redisOrSkip(context, OWN);
  await using opened = openTestStore(redis.url, PATIENT_MS);
  await opened.become('up');
  await redis.call('set', 'for ever', 'foreign');
  await redis.call('set', 'for longer', 'foreign', 'px', 2 * LONG_MS);
  for (const name of ['for ever', 'for longer']) expect(await opened.store.take(name, 'owner', LONG_MS)).toBe('taken');
  expect(await opened.store.take('for ever', 'another', LONG_MS)).toBe('busy');
});

test('a name of a wrong type is not there, and is deleted', async (context) => {
  await using redis = await redisOrSkip(context, OWN);
  await using opened = openTestStore(redis.url, PATIENT_MS);
  await opened.become('up');
  for (const name of ['list', 'leased', 'given up']) await redis.call('rpush', name, 'foreign');
  await opened.store.set('beside', bytes('value'), LONG_MS);
  expect((await opened.store.getAll(['list', 'beside'])).map((value) => value?.toString())).toEqual([undefined, 'value']);
  expect(await opened.store.take('leased', 'owner', LONG_MS)).toBe('unknown');
  expect(await opened.store.take('leased', 'owner', LONG_MS)).toBe('taken');
  await opened.store.giveUp('given up', 'owner');
  expect(await redis.call('exists', 'list', 'given up')).toBe(0);
  expect(opened.changes).toEqual([{ state: 'up', reason: '' }]);
});

test('a foreign value of 100 MB is neither fetched nor kept', async (context) => {
  await using redis = await redisOrSkip(context, OWN);
  await using opened = openTestStore(redis.url, PATIENT_MS);
  await opened.become('up');
  await redis.call('setrange', 'huge', 100 << 20, 'x');
  await redis.call('config', 'resetstat');
  expect(await opened.store.get('huge')).toBeUndefined();
  expect(await redis.call('exists', 'huge')).toBe(0);
  const [, sent] = /total_net_output_bytes:(\d+)/.exec(String(await redis.call('info', 'stats'))) ?? [];
  expect(Number(sent)).toBeLessThan(MOST_VALUE_BYTES + 200_000);
});

test('a value of just the largest size goes there and back, and one byte more is not sent', async (context) => {
  await using redis = await redisOrSkip(context, OWN);
  await using opened = openTestStore(redis.url, PATIENT_MS);
  await opened.become('up');
  const largest = randomBytes(MOST_VALUE_BYTES);
  expect(await opened.store.set('largest', largest, LONG_MS)).toBe(true);
  expect(largest.equals((await opened.store.get('largest')) as Buffer)).toBe(true);
  expect(await opened.store.set('larger', Buffer.alloc(MOST_VALUE_BYTES + 1), LONG_MS)).toBe(false);
  expect(await redis.call('exists', 'larger')).toBe(0);
});

test('a wrong password is told as what it is, without the password', async (context) => {
  await using redis = await redisOrSkip(context, { args: ['--requirepass', 'right'] });
  await using opened = openTestStore(`redis://:wrong@${redis.host}:${redis.port}`, PATIENT_MS);
  expect(await opened.become('down')).toEqual({ state: 'down', reason: 'WRONGPASS' });
  expect(await opened.store.get('name')).toBe('unknown');
  await using right = openTestStore(`redis://:right@${redis.host}:${redis.port}`, PATIENT_MS);
  await right.become('up');
});

test('a password that is asked for and not given is told', async (context) => {
  await using redis = await redisOrSkip(context, { args: ['--requirepass', 'right'] });
  await using opened = openTestStore(redis.url, PATIENT_MS);
  expect(await opened.become('down')).toEqual({ state: 'down', reason: 'NOAUTH' });
});

test.each([
  ['LOADING', '-LOADING Redis is loading the dataset in memory\r\n'],
  ['MASTERDOWN', '-MASTERDOWN Link with MASTER is down\r\n'],
  ['BUSY', '-BUSY Redis is busy running a script\r\n'],
])('a Redis that says %s serves nothing, and is asked again when it does', async (code, error) => {
  let broken = false;
  const value = (command: string) => (command === 'getrange' ? '$5\r\nvalue\r\n' : PONG);
  await using redis = await startFakeRedis((command) => (broken ? error : value(command)));
  await using opened = openTestStore(redis.url, PATIENT_MS);
  await opened.become('up');
  broken = true;
  expect(await opened.store.get('name')).toBe('unknown');
  expect(opened.changes.at(-1)).toEqual({ state: 'down', reason: code });
  const asked = redis.commands.filter((command) => command === 'getrange').length;
  expect(await opened.store.get('name')).toBe('unknown');
  expect(redis.commands.filter((command) => command === 'getrange')).toHaveLength(asked);
  broken = false;
  await opened.become('up');
  expect(String(await opened.store.get('name'))).toBe('value');
});

test('a server that answers in nonsense loses its connection, and nobody is hurt', async () => {
  await using redis = await startFakeRedis((command) => (command === 'ping' ? PONG : '?!\0 nonsense\r\n$-7\r\n*2\r\n'));
  await using opened = openTestStore(redis.url, PATIENT_MS);
  await opened.become('up');
  const down = opened.become('down');
  expect(await opened.store.get('name')).toBe('unknown');
  await down;
  await opened.become('up');
  expect(redis.connections()).toBeGreaterThan(1);
});

test('replies that nobody asked for lose the connection, before another takes them for its own', async () => {
  await using redis = await startFakeRedis((command) => (command === 'ping' ? PONG : '$5\r\nfirst\r\n$6\r\nsecond\r\n'));
  await using opened = openTestStore(redis.url, PATIENT_MS);
  await opened.become('up');
  const down = opened.become('down');
  expect(String(await opened.store.get('one'))).toBe('first');
  await down;
  await opened.become('up');
  expect(String(await opened.store.get('two'))).toBe('first');
});

test('a half-open connection is given up for another', async () => {
  let silent = false;
  await using redis = await startFakeRedis((command) => (silent || command !== 'ping' ? undefined : PONG));
  await using opened = openTestStore(redis.url);
  await opened.become('up');
  const connections = redis.connections();
  silent = true;
  expect(await opened.store.get('name')).toBe('unknown');
  await opened.become('down');
  silent = false;
  await opened.become('up');
  expect(redis.connections()).toBeGreaterThan(connections);
});

test('what a store is asked after its end is not there, and nothing is left running', async (context) => {
  await using redis = await redisOrSkip(context, OWN);
  const opened = openTestStore(redis.url, PATIENT_MS);
  await opened.become('up');
  const waiting = opened.store.get('name');
  await opened[Symbol.asyncDispose]();
  expect(await waiting).toBe('unknown');
  expect(await opened.store.get('name')).toBe('unknown');
  expect(opened.changes).toEqual([{ state: 'up', reason: '' }]);
});
