import { expect, test } from 'vitest';
import { MOST_BYTES, MOST_COMMANDS } from '../../../cache/redis/calls.ts';
import type { ClientEvents, RedisClient } from '../../../cache/redis/client.ts';
import { ASK_LIMIT_MS, RedisConnection } from '../../../cache/redis/link.ts';
import { QUIET_MS } from '../../../cache/redis/refusals.ts';
import type { RedisChange } from '../../../cache/redis/standing.ts';
import { FakeClock } from '../../support/clock.ts';

interface Sent {
  readonly command: string;
  readonly args: readonly unknown[];
  readonly reply: (reply: unknown) => void;
  readonly fail: (message: string) => void;
}

/** A link whose server is the test. */
class World {
  readonly clock = new FakeClock();
  readonly changes: RedisChange[] = [];
  readonly sent: Sent[] = [];
  reconnects = 0;
  closed = false;
  isReady = true;
  events!: ClientEvents;
  readonly link = new RedisConnection({
    kind: 'standalone',
    clock: this.clock,
    onState: (change) => this.changes.push(change),
    connect: (events) => {
      this.events = events;
      return this.#client();
    },
  });

  #client(): RedisClient {
    const call = (command: string, ...args: readonly unknown[]) =>
      new Promise((resolve, reject) => {
        this.sent.push({ command, args, reply: resolve, fail: (message) => reject(new Error(message)) });
        if (command === 'info') resolve(Buffer.from('# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n'));
      });
    return {
      call,
      masters: () => (this.isReady ? [{ call }] : []),
      isServing: async () => true,
      reconnect: () => {
        this.reconnects++;
      },
      refresh: async () => undefined,
      close: () => {
        this.closed = true;
      },
    };
  }

  async comeUp(): Promise<void> {
    this.events.ready();
    await settled();
  }

  /** The newest that was sent and is the link's caller's. */
  last(): Sent {
    return this.sent.findLast(({ command }) => command !== 'info') as Sent;
  }
}

/** Promises and what waits for the event loop's next turn are through. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('the answer is given as it came, and counted', async () => {
  const world = new World();
  expect(await world.link.ask((redis) => redis.call('get', 'name'))).toBeUndefined();
  await world.comeUp();
  const answer = world.link.ask((redis) => redis.call('get', 'name'));
  world.last().reply(Buffer.from('value'));
  expect(String(await answer)).toBe('value');
  expect(world.link.status()).toEqual({ state: 'up', reason: '', version: '7.0.15', calls: 1, failed: 0, skipped: 1 });
});

test('whoever listens is told each time that Redis comes up', async () => {
  const world = new World();
  let ups = 0;
  const unsubscribe = world.link.onUp(() => ups++);
  await world.comeUp();
  expect(ups).toBe(1);
  world.events.lost(undefined);
  await world.comeUp();
  expect(ups).toBe(2);
  unsubscribe();
  world.events.lost(undefined);
  await world.comeUp();
  expect(ups).toBe(2);
  expect(world.changes.map(({ state, reason }) => `${state} ${reason}`.trim())).toEqual([
    'up',
    'down LOST',
    'up',
    'down LOST',
    'up',
  ]);
});

test('a late answer ends every call that waits, and is thrown away when it comes', async () => {
  const world = new World();
  await world.comeUp();
  world.clock.advance(10_000);
  const first = world.link.ask((redis) => redis.call('get', 'one'));
  world.clock.advance(ASK_LIMIT_MS - 1);
  const second = world.link.ask((redis) => redis.call('get', 'two'));
  world.isReady = false;
  world.clock.advance(1);
  await settled();
  expect(await Promise.all([first, second])).toEqual([undefined, undefined]);
  expect(world.link.isUp).toBe(false);
  world.last().reply('late');
  await settled();
  expect(world.link.status()).toMatchObject({ calls: 2, failed: 2 });
  expect(world.changes).toEqual([{ state: 'up', reason: '' }]);
});

test('an answer that came while the router itself stood still is in time', async () => {
  const world = new World();
  await world.comeUp();
  const answer = world.link.ask((redis) => redis.call('get', 'name'));
  world.clock.jump(10 * ASK_LIMIT_MS);
  world.last().reply('value');
  expect(await answer).toBe('value');
  await settled();
  expect(world.link.isUp).toBe(true);
});

test('what a callback throws is a call that failed', async () => {
  const world = new World();
  await world.comeUp();
  const broken = () => {
    throw new Error('a defect');
  };
  expect(await world.link.ask(broken)).toBeUndefined();
  expect(world.link.status()).toMatchObject({ calls: 1, failed: 1 });
  expect(world.link.isUp).toBe(true);
});

test('an error of one command is no outage', async () => {
  const world = new World();
  await world.comeUp();
  const answer = world.link.ask((redis) => redis.call('eval', 'script'));
  world.last().fail('ERR something about this command');
  expect(await answer).toBeUndefined();
  expect(world.link.isUp).toBe(true);
});

test('more commands than may wait are not sent', async () => {
  const world = new World();
  await world.comeUp();
  const waiting = Array.from({ length: MOST_COMMANDS }, () => world.link.ask((redis) => redis.call('get', 'name')));
  const before = world.sent.length;
  expect(await world.link.ask((redis) => redis.call('get', 'name'))).toBeUndefined();
  expect(world.sent).toHaveLength(before);
  expect(world.link.status().skipped).toBe(1);
  for (const { command, reply } of world.sent) if (command === 'get') reply('value');
  expect(await Promise.all(waiting)).toEqual(waiting.map(() => 'value'));
  const again = world.link.ask((redis) => redis.call('get', 'name'));
  world.last().reply('value');
  expect(await again).toBe('value');
});

test('more bytes than may wait are not sent, and smaller ones still are', async () => {
  const world = new World();
  await world.comeUp();
  const large = Buffer.alloc(MOST_BYTES / 2 + 1);
  const first = world.link.ask((redis) => redis.call('set', 'one', large));
  expect(await world.link.ask((redis) => redis.call('set', 'two', large))).toBeUndefined();
  expect(world.sent.filter(({ command }) => command === 'set')).toHaveLength(1);
  world.last().reply('OK');
  expect(await first).toBe('OK');
  const second = world.link.ask((redis) => redis.call('set', 'two', large));
  world.last().reply('OK');
  expect(await second).toBe('OK');
});

test('refused writes are told when they begin and when they have ended for a while', async () => {
  const world = new World();
  await world.comeUp();
  const set = async (error?: string) => {
    const answer = world.link.ask((redis) => redis.call('set', 'name', 'value'));
    if (error) world.last().fail(error);
    else world.last().reply('OK');
    await answer;
  };
  await set('OOM command not allowed');
  await set('OOM command not allowed');
  await set();
  expect(world.changes.slice(1)).toEqual([{ state: 'limited', reason: 'OOM' }]);
  world.clock.advance(QUIET_MS);
  await set();
  expect(world.changes.slice(1)).toEqual([
    { state: 'limited', reason: 'OOM' },
    { state: 'up', reason: '' },
  ]);
});

test('a read-only server is looked for anew, now and then, and that is no outage', async () => {
  const world = new World();
  await world.comeUp();
  world.clock.advance(1_000);
  const set = async () => {
    const answer = world.link.ask((redis) => redis.call('set', 'name', 'value'));
    world.last().fail("READONLY You can't write against a read only replica.");
    await answer;
  };
  await set();
  await set();
  expect(world.reconnects).toBe(1);
  world.events.lost(undefined);
  await world.comeUp();
  world.clock.advance(30_000);
  await set();
  expect(world.reconnects).toBe(2);
  expect(world.changes.map(({ state }) => state)).toEqual(['up', 'limited']);
});

test('what nobody reaches at the start is told once, also when the connection never says a word', async () => {
  const world = new World();
  world.isReady = false;
  for (let ms = 0; ms < 5_000; ms += 50) {
    world.clock.advance(50);
    await settled();
  }
  expect(world.changes).toEqual([{ state: 'down', reason: 'LATE' }]);
  await world.link[Symbol.asyncDispose]();
  expect(world.closed).toBe(true);
  expect(world.clock.pending).toBe(0);
});
