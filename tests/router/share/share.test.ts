import { beforeEach, describe, expect, it } from 'vitest';
import { MOST_PREFIXES } from '../../../proto/contract/prefix.ts';
import { SESSION_IDLE_MS } from '../../../router/fleet/sessions.ts';
import { BreakableStore } from '../../cache/shared/world.ts';
import { FakeClock } from '../../support/clock.ts';
import type { TestShare } from './world.ts';
import { MODEL, ROUND_TURN_MS, rounds, startShare } from './world.ts';

const ARM = { model: 'm', tier: 1 };
const CONTEXT = { domain: 'maths', complexity: 'simple', task: 'question' } as const;

let store: BreakableStore;
let clock: FakeClock;
beforeEach(() => {
  store = new BreakableStore();
  clock = new FakeClock();
});

const start = (id: string, quota = {}) => startShare({ id, store, clock, quota });
const teach = ({ learned: { bandit } }: TestShare, reward: number, times = 20) => {
  for (let i = 0; i < times; i++) bandit.learn(ARM, CONTEXT, 0.5, reward, 1, clock.wall());
};
const mean = ({ learned: { bandit } }: TestShare) => bandit.belief(ARM, CONTEXT, 0.5, clock.wall()).mean;
const met = async (...shares: TestShare[]) => rounds(clock, shares, 4);

describe('what is learnt at one router', () => {
  it('is believed at the others, as if they had learnt it', async () => {
    const [a, b] = [start('a'), start('b')];
    await met(a, b);
    teach(a, 1);
    expect(mean(b)).toBe(0.5);
    await rounds(clock, [a, b], 6);
    expect(mean(a)).toBeGreaterThan(0.6);
    expect(mean(b)).toBe(mean(a));
    teach(b, 1);
    await rounds(clock, [a, b], 6);
    expect(mean(b)).toBeGreaterThan(0.65);
    expect(mean(b)).toBeCloseTo(mean(a), 9);
  });

  it('and taken back there is taken back everywhere', async () => {
    const [a, b] = [start('a'), start('b')];
    await met(a, b);
    const lesson = a.learned.bandit.learn(ARM, CONTEXT, 0.5, 1, 1, clock.wall());
    await rounds(clock, [a, b], 6);
    expect(mean(b)).toBeGreaterThan(0.5);
    a.learned.bandit.revise(lesson, 0, 1);
    await rounds(clock, [a, b], 6);
    expect(mean(b)).toBeLessThan(0.5);
    expect(mean(b)).toBe(mean(a));
  });

  it('is there for those that start later, though it has left', async () => {
    const a = start('a');
    teach(a, 1);
    await a.sharing[Symbol.asyncDispose]();
    expect(clock.pending).toBe(0);
    const b = start('b');
    await rounds(clock, [b], 6);
    expect(mean(b)).toBe(mean(a));
    expect(b.told).toEqual([]);
  });
});

describe('a quota that two routers share', () => {
  const entered = ({ quotas }: TestShare, tokens = 1) => {
    try {
      quotas.enter('acme', tokens).settle(tokens);
      return 1;
    } catch {
      return 0;
    }
  };

  it('lets in what one router would, and what comes in the time that hearing of it takes', async () => {
    const perMinute = 600;
    const quota = { requestsPerMinute: perMinute };
    const [a, b] = [start('a', quota), start('b', quota)];
    await met(a, b);
    let sum = 0;
    const begun = clock.now();
    for (let round = 0; round < 200; round++) {
      // Each tries all that it may, all the time.
      for (let i = 0; i < 20; i++) sum += entered(a) + entered(b);
      await rounds(clock, [a, b], 1);
    }
    const minutes = (clock.now() - begun) / 60_000;
    const alone = perMinute * (minutes + 1);
    expect(sum).toBeGreaterThan(0.9 * alone);
    expect(sum).toBeLessThan(1.1 * alone);
  });

  it('is used up at one when it is used up at the other, of requests and of tokens', async () => {
    for (const quota of [{ requestsPerMinute: 10 }, { tokensPerMinute: 1000 }]) {
      store = new BreakableStore();
      const [a, b] = [start('a', quota), start('b', quota)];
      await met(a, b);
      for (let i = 0; i < 10; i++) expect(entered(a, 100)).toBe(1);
      await rounds(clock, [a, b], 2);
      let more = 0;
      for (let i = 0; i < 10; i++) more += entered(b, 100);
      // What has been refilled by now.
      expect(more).toBeLessThanOrEqual(1);
      await Promise.all([a, b].map(({ sharing }) => sharing[Symbol.asyncDispose]()));
    }
  });

  it('has back what was estimated and not used', async () => {
    const quota = { tokensPerMinute: 1000 };
    const [a, b] = [start('a', quota), start('b', quota)];
    await met(a, b);
    const lease = a.quotas.enter('acme', 1000);
    await rounds(clock, [a, b], 2);
    expect(entered(b, 500)).toBe(0);
    lease.settle(0);
    await rounds(clock, [a, b], 2);
    expect(entered(b, 900)).toBe(1);
  });

  it('is told of when the store is back, whatever else waits, as far as it is not refilled by then', async () => {
    const quota = { requestsPerMinute: 60 };
    const [a, b] = [start('a', quota), start('b', quota)];
    await met(a, b);
    store.up = false;
    for (let i = 0; i < 60; i++) expect(entered(a)).toBe(1);
    await rounds(clock, [a, b], 30);
    for (let i = 0; i < 3000; i++) a.sessions.served(`acme ${i}`, 'node-1', 'm');
    store.up = true;
    await rounds(clock, [a, b], 3);
    let more = 0;
    for (let i = 0; i < 60; i++) more += entered(b);
    expect(more).toBeGreaterThan(15);
    expect(more).toBeLessThan(25);
  });

  it('counts for each of many tenants that come at the same time', async () => {
    const quota = { requestsPerMinute: 1 };
    const [a, b] = [start('a', quota), start('b', quota)];
    await met(a, b);
    const tenants = Array.from({ length: 3000 }, (_, i) => `tenant-${i}`);
    for (const tenant of tenants) a.quotas.enter(tenant, 1).settle(1);
    await rounds(clock, [a, b], 9);
    for (const tenant of tenants) expect(() => b.quotas.enter(tenant, 1)).toThrow('used up');
  });

  it('is each router’s own while the store is gone, and what was spent long ago is forgiven when it is back', async () => {
    const quota = { requestsPerMinute: 10 };
    const [a, b] = [start('a', quota), start('b', quota)];
    await met(a, b);
    store.up = false;
    for (let i = 0; i < 10; i++) expect(entered(a) + entered(b)).toBe(2);
    await rounds(clock, [a, b], 200);
    expect(entered(a)).toBe(1);
    store.up = true;
    await rounds(clock, [a, b], 3);
    // Only the one of just now counts.
    let more = 0;
    for (let i = 0; i < 20; i++) more += entered(b);
    expect(more).toBe(9);
  });
});

describe('a session', () => {
  it('that comes to another router goes where it was', async () => {
    const [a, b] = [start('a'), start('b')];
    await met(a, b);
    a.sessions.served('acme conversation', 'node-2', 'm');
    expect(a.sessions.last('acme conversation')).toEqual({ node: 'node-2', model: 'm' });
    await rounds(clock, [a, b], 2);
    expect(b.sessions.last('acme conversation')).toEqual({ node: 'node-2', model: 'm' });
    expect(b.sessions.last('other conversation')).toBeUndefined();
  });

  it('is where it was last, whoever served it', async () => {
    const [a, b] = [start('a'), start('b')];
    await met(a, b);
    a.sessions.served(' s', 'node-1', 'm');
    await rounds(clock, [a, b], 2);
    b.sessions.served(' s', 'node-2', 'm');
    await rounds(clock, [a, b], 2);
    for (const { sessions } of [a, b]) expect(sessions.last(' s')?.node).toBe('node-2');
  });

  it('is forgotten as long after it was served as if it had been served here', async () => {
    const [a, b] = [start('a'), start('b')];
    await met(a, b);
    a.sessions.served(' s', 'node-1', 'm');
    await rounds(clock, [a, b], 2);
    clock.advance(SESSION_IDLE_MS - 2 * ROUND_TURN_MS - 10);
    expect(b.sessions.last(' s')).toBeDefined();
    // Clocks are known as well as the time from one router to the other.
    clock.advance(ROUND_TURN_MS + 10);
    expect(b.sessions.last(' s')).toBeUndefined();
  });
});

it('what a KV cache holds after an answer is presumed by all, until the node says itself', async () => {
  const [a, b] = [start('a'), start('b')];
  await met(a, b);
  const prefixes = Array.from({ length: MOST_PREFIXES }, (_, i) => ({ hash: 1000 + i, bytes: 400 * (i + 1) }));
  a.locality.served('node-1', MODEL, prefixes);
  await rounds(clock, [a, b], 2);
  expect(b.locality.lookup(prefixes)('node-1', 'm')).toBe(a.locality.lookup(prefixes)('node-1', 'm'));
  expect(b.locality.lookup(prefixes)('node-2', 'm')).toBe(0);
  b.locality.report('node-1', { model: 'm', hashes: [] });
  expect(b.locality.lookup(prefixes)('node-1', 'm')).toBe(0);
});

describe('a breaker that opened at one router', () => {
  const fail = ({ breakers }: TestShare, times: number) => {
    for (let i = 0; i < times; i++) breakers.started('node-1', 'm').failed('transport');
  };

  it('lets the same node be asked at the others, and opens there at the first failure', async () => {
    const [a, b] = [start('a'), start('b')];
    await met(a, b);
    fail(a, 3);
    expect(a.breakers.permits('node-1', 'm')).toBe(false);
    await rounds(clock, [a, b], 2);
    expect(b.breakers.permits('node-1', 'm')).toBe(true);
    fail(b, 1);
    expect(b.breakers.permits('node-1', 'm')).toBe(false);
  });

  it('tells nothing once the node has answered there', async () => {
    const [a, b] = [start('a'), start('b')];
    await met(a, b);
    fail(a, 3);
    await rounds(clock, [a, b], 2);
    b.breakers.started('node-1', 'm').succeeded();
    fail(b, 2);
    expect(b.breakers.permits('node-1', 'm')).toBe(true);
  });

  it('is not held against the node for long', async () => {
    const [a, b] = [start('a'), start('b')];
    await met(a, b);
    fail(a, 3);
    await rounds(clock, [a, b], 2);
    clock.advance(10_000);
    fail(b, 2);
    expect(b.breakers.permits('node-1', 'm')).toBe(true);
  });
});

describe('a router', () => {
  it('hears of others that come and go, once each', async () => {
    const [a, b] = [start('a'), start('b')];
    await met(a, b);
    await rounds(clock, [a, b], 5);
    expect(a.sharing.figures().routers).toBe(1);
    await b.sharing[Symbol.asyncDispose]();
    await rounds(clock, [a], 3);
    expect(a.told).toEqual([
      { type: 'router_seen', router: 'b' },
      { type: 'router_gone', router: 'b' },
    ]);
  });

  it('goes on when everything about the store fails', async () => {
    const broken = {
      getAll: () => Promise.reject(new Error('broken')),
      set: () => Promise.reject(new Error('broken')),
      delete: () => Promise.reject(new Error('broken')),
    };
    const a = startShare({ id: 'a', store: broken, clock });
    teach(a, 1);
    await rounds(clock, [a], 5);
    expect(a.sharing.figures()).toMatchObject({ finished: 5, failed: 5 });
    expect(mean(a)).toBeGreaterThan(0.6);
  });

  it('leaves no timer, and tells the others on its way out what they don’t know yet', async () => {
    const [a, b] = [start('a'), start('b')];
    await met(a, b);
    teach(a, 1);
    await a.sharing[Symbol.asyncDispose]();
    await rounds(clock, [b], 2);
    expect(mean(b)).toBe(mean(a));
    await b.sharing[Symbol.asyncDispose]();
    expect(clock.pending).toBe(0);
  });

  it('leaves nothing in the store by which a session, a tenant, a model or a node could be told', async () => {
    const [a, b] = [start('a', { requestsPerMinute: 5 }), start('b')];
    await met(a, b);
    a.sessions.served('acme canary-session', 'node-1', 'm');
    a.quotas.enter('canary-tenant', 1);
    a.learned.bandit.learn({ model: 'canary-model', tier: 1 }, CONTEXT, 0.5, 1, 1, clock.wall());
    await rounds(clock, [a, b], 6);
    const all = [...store.values].map(([name, value]) => name + value.toString('latin1')).join('\n');
    expect(all).not.toMatch(/canary|acme|node-1|router/);
  });
});
