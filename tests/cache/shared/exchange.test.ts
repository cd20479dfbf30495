import fc from 'fast-check';
import { beforeEach, describe, expect, it, test } from 'vitest';
import type { Replica } from '../../../cache/shared/replica-set.ts';
import type { TestRouter } from './world.ts';
import { BreakableStore, copyOf, PLAIN, rounds, startTestRouter } from './world.ts';

let store: BreakableStore;
let now: number;
beforeEach(() => {
  store = new BreakableStore();
  now = 1000;
});

const start = (id: string, past: readonly Replica[] = []) => startTestRouter({ id, store, past, now: () => now++ });

function expectSame(routers: readonly TestRouter[], expected?: Record<string, string>): void {
  const [first, ...others] = routers.map((router) => router.sum());
  for (const other of others) expect(other).toEqual(first);
  if (expected) expect(first).toEqual(expected);
}

describe('routers that share a store', () => {
  it('know of each other, and have what each contributed, within a few rounds', async () => {
    const [a, b] = [start('a'), start('b')];
    a.replicas.write('x', '1');
    b.replicas.write('x', '2');
    await rounds([a, b], 4);
    expectSame([a, b], { 'a x': '1', 'b x': '2' });
    expect([a.log, b.log]).toEqual([['seen b'], ['seen a']]);
    expect(a.exchange.peers).toBe(1);
  });

  it('ask for nothing but heads while nothing changes', async () => {
    const [a, b] = [start('a'), start('b')];
    a.replicas.write('x', '1');
    await rounds([a, b], 5);
    store.asked = 0;
    await rounds([a, b], 10);
    // Heads read, and the own one written.
    expect(store.asked).toBe(2 * 10 * 2);
  });

  it('do a bounded part in each round, and the rest in the next ones', async () => {
    const [a, b] = [start('a'), start('b')];
    for (let i = 0; i < 200; i++) a.replicas.write(`p${i}`, `${i}`);
    await rounds([a], 1);
    expect(store.values.size).toBeLessThan(20);
    await rounds([a, b], 30);
    expectSame([a, b]);
    expect(b.told.size).toBe(200);
  });

  it('write nothing anew when the store could not be read for a while', async () => {
    const [a, b] = [start('a'), start('b')];
    for (let i = 0; i < 10; i++) a.replicas.write(`p${i}`, `${i}`);
    await rounds([a, b], 5);
    store.up = false;
    expect(await a.exchange.round()).toBe(false);
    store.up = true;
    store.written = 0;
    await rounds([a], 3);
    expect(store.written).toBe(3);
  });

  it('have large parts also where only some can be read at a time, without writing them anew', async () => {
    const reader = new BreakableStore();
    reader.values = store.values;
    reader.mostAtOnce = 4;
    const [a, b] = [start('a'), startTestRouter({ id: 'b', store: reader })];
    for (let i = 0; i < 40; i++) a.replicas.write(`p${i}`, `${i}`);
    await rounds([a], 4);
    store.written = 0;
    await rounds([a, b], 20);
    expectSame([a, b]);
    expect(store.written).toBe(20);
  });

  it('with other secrets meet nobody', async () => {
    const [a, b] = [start('a'), startTestRouter({ id: 'b', store, secret: 'of another mesh' })];
    a.replicas.write('x', '1');
    await rounds([a, b], 5);
    expect(b.sum()).toEqual({});
    expect(b.log).toEqual([]);
  });

  it('leave nothing readable in the store, names included', async () => {
    const a = start('a-name-that-tells');
    a.replicas.write('arm:some-model', '{"text":"in the clear"}');
    a.exchange.outbox.add([{ tenant: 'acme' }]);
    await rounds([a], 2);
    const all = [...store.values].map(([name, value]) => name + value.toString('latin1')).join('\n');
    expect(all).not.toMatch(/tells|arm|model|clear|acme|roster|head/);
  });
});

describe('a router that is gone', () => {
  it('is told of after a while, and what it contributed stays', async () => {
    const [a, b] = [start('a'), start('b')];
    b.replicas.write('x', '2');
    await rounds([a, b], 4);
    await rounds([a], 25);
    expect(a.log).toEqual(['seen b', 'gone b']);
    expect(a.sum()).toEqual({ 'b x': '2' });
  });

  it('is told of at once when it left in order', async () => {
    const [a, b] = [start('a'), start('b')];
    await rounds([a, b], 4);
    await b.exchange.round(true);
    await rounds([a], 1);
    expect(a.log).toEqual(['seen b', 'gone b']);
    expect(await c([a])).toEqual([]);
  });

  /** Who a newcomer sees. */
  async function c(others: readonly TestRouter[]) {
    const router = start('c');
    await rounds([router], 5);
    expect(others).toHaveLength(1);
    return router.log.filter((line) => line.includes('b'));
  }

  it('is not missed by one that only stands still while the store is gone', async () => {
    const [a, b] = [start('a'), start('b')];
    await rounds([a, b], 4);
    store.up = false;
    await rounds([a, b], 50);
    store.up = true;
    await rounds([a, b], 3);
    expect([a.log, b.log]).toEqual([['seen b'], ['seen a']]);
  });

  it('and starts again is another, beside what it was', async () => {
    const [a, b] = [start('a'), start('b1')];
    b.replicas.write('x', '1');
    await rounds([a, b], 3);
    const saved = copyOf(b.replicas.own);
    b.replicas.write('x', '2');
    await rounds([a, b], 3);
    // It crashed, and its file is older than what others have.
    const again = start('b2', [saved]);
    again.replicas.write('x', '5');
    await rounds([a, again], 4);
    expectSame([a, again], { 'b1 x': '2', 'b2 x': '5' });
  });
});

describe('the store', () => {
  it('that was emptied is filled again, also with what routers contributed before they were started anew', async () => {
    const before = start('b1');
    before.replicas.write('x', '1');
    const [a, b] = [start('a'), start('b2', [copyOf(before.replicas.own)])];
    a.replicas.write('x', '3');
    await rounds([a, b], 4);
    store.values.clear();
    await rounds([a, b], 4);
    const c = start('c');
    await rounds([a, b, c], 40);
    expectSame([a, b, c], { 'a x': '3', 'b1 x': '1' });
  });

  it('that lost one value has it again after a few rounds', async () => {
    const a = start('a');
    a.replicas.write('x', '1');
    a.replicas.write('y', '2');
    await rounds([a], 2);
    for (const name of [...store.values.keys()]) {
      const b = start(`b${name.slice(-8).replace(/\W/g, '')}`);
      store.values.delete(name);
      await rounds([b, a], 12);
      expect(b.told.get('a x')).toBe('1');
      expect(b.told.get('a y')).toBe('2');
      expect(store.values.has(name)).toBe(true);
    }
  });

  it.each<[string, (value: Buffer) => Buffer]>([
    ['garbage', () => Buffer.from('garbage')],
    ['nothing', () => Buffer.alloc(0)],
    ['cut short', (value) => value.subarray(0, value.length - 1)],
    ['changed', (value) => Buffer.from(value.map((byte, i) => (i === value.length - 1 ? byte ^ 1 : byte)))],
  ])('that holds %s under every name of ours harms nobody, and is put right', async (_what, broken) => {
    const [a, b] = [start('a'), start('b')];
    a.replicas.write('x', '1');
    await rounds([a, b], 3);
    for (const [name, value] of store.values) store.values.set(name, broken(value));
    const c = start('c');
    a.replicas.write('x', '2');
    await rounds([a, b, c], 30);
    expectSame([a, b, c], { 'a x': '2' });
    expect(a.exchange.rejected + b.exchange.rejected + c.exchange.rejected).toBeGreaterThan(0);
  });

  it('that has values of ours under each other’s names harms nobody', async () => {
    const [a, b] = [start('a'), start('b')];
    a.replicas.write('x', '1');
    b.replicas.write('y', '2');
    await rounds([a, b], 3);
    const values = [...store.values.values()];
    for (const [i, name] of [...store.values.keys()].entries()) store.values.set(name, values[(i + 1) % values.length] as Buffer);
    await rounds([a, b], 30);
    expectSame([a, b], { 'a x': '1', 'b y': '2' });
  });

  it('that is gone costs a round one question', async () => {
    const a = start('a');
    a.replicas.write('x', '1');
    store.up = false;
    expect(await a.exchange.round()).toBe(false);
    expect(store.asked).toBe(1);
    store.up = true;
    expect(await a.exchange.round()).toBe(true);
  });
});

describe('events', () => {
  const heard = ({ events }: TestRouter) => events.map(({ event }) => event);

  it('come to every other router once, in their order', async () => {
    const [a, b, c] = [start('a'), start('b'), start('c')];
    await rounds([a, b, c], 2);
    for (let i = 0; i < 30; i++) {
      a.exchange.outbox.add([i]);
      await rounds([a, b, c], 1);
    }
    expect(heard(b)).toEqual(Array.from({ length: 30 }, (_, i) => i));
    expect(heard(c)).toEqual(heard(b));
    expect(heard(a)).toEqual([]);
  });

  it('come once also when the answer to writing them was lost, and those that came up meanwhile come after', async () => {
    const [a, b] = [start('a'), start('b')];
    await rounds([a, b], 2);
    a.exchange.outbox.add(['one']);
    store.losesReplies = true;
    await rounds([a, b], 2);
    a.exchange.outbox.add(['two']);
    await rounds([a, b], 2);
    store.losesReplies = false;
    await rounds([a, b], 3);
    expect(heard(b)).toEqual(['one', 'two']);
  });

  it('of a router that was heard of late are the latest only', async () => {
    const a = start('a');
    for (let i = 0; i < 40; i++) {
      a.exchange.outbox.add([i]);
      await rounds([a], 1);
    }
    const b = start('b');
    await rounds([a, b], 2);
    expect(heard(b)).toEqual(Array.from({ length: 16 }, (_, i) => 24 + i));
  });

  it('come with what the clock of who wrote them shows, so that their age can be told', async () => {
    let [ofA, ofB] = [5_000_000, 10];
    const a = startTestRouter({ id: 'a', store, now: () => ofA });
    const b = startTestRouter({ id: 'b', store, now: () => ofB });
    a.exchange.outbox.add(['early']);
    await a.exchange.round();
    ofA += 30_000;
    ofB += 1;
    await rounds([a, b], 2);
    expect(b.events).toEqual([{ event: 'early', at: 5_030_000 }]);
  });

  it('of a router that was started again, and goes on with its replica, are new ones', async () => {
    const [a, b] = [start('a'), start('b')];
    await rounds([a, b], 2);
    for (const event of ['one', 'two']) {
      a.exchange.outbox.add([event]);
      await rounds([a, b], 1);
    }
    await a.exchange.round(true);
    const again = startTestRouter({ id: 'a', router: 'a-again', store, now: () => now++ });
    again.exchange.outbox.add(['three']);
    await rounds([again, b], 2);
    expect(heard(b)).toEqual(['one', 'two', 'three']);
  });

  it('of many routers come to one that starts some at a time', async () => {
    const many = Array.from({ length: 30 }, (_, i) => start(`r${i}`));
    await rounds(many, 2);
    for (let i = 0; i < 10; i++) {
      for (const { id, exchange } of many) exchange.outbox.add([`${id} ${i}`]);
      await rounds(many, 1);
    }
    const late = start('late');
    await rounds([late], 1);
    store.mostAsked = 0;
    await rounds([late], 8);
    expect(store.mostAsked).toBeLessThanOrEqual(30 + 128);
    expect(new Set(heard(late)).size).toBe(300);
  });

  it('are heard once where one head takes another’s place and is back again', async () => {
    const listener = start('c');
    const clones = ['one', 'two'].map((router) => startTestRouter({ id: 'clone', router, store, now: () => now++ }));
    await rounds([...clones, listener], 3);
    for (let i = 0; i < 5; i++) {
      for (const clone of clones) {
        clone.exchange.outbox.add([`${clone.id} ${clones.indexOf(clone)} ${i}`]);
        await rounds([clone, listener], 1);
      }
    }
    expect(heard(listener).length).toBe(10);
    expect(new Set(heard(listener)).size).toBe(10);
  });

  it('that could not be read are asked for again, then given up', async () => {
    const [a, b] = [start('a'), start('b')];
    await rounds([a, b], 2);
    a.exchange.outbox.add(['lost']);
    const before = new Set(store.values.keys());
    await a.exchange.round();
    const [name] = [...store.values.keys()].filter((key) => !before.has(key));
    const value = store.values.get(name as string) as Buffer;
    store.values.delete(name as string);
    await rounds([b], 1);
    store.values.set(name as string, value);
    await rounds([a, b], 2);
    expect(heard(b)).toEqual(['lost']);
  });

  it('are bounded while the store is gone: the oldest give way', async () => {
    const a = start('a');
    for (let i = 0; i < 3000; i++) a.exchange.outbox.add([i]);
    expect(a.exchange.outbox.dropped).toBe(3000 - 1024);
  });
});

describe('the roster', () => {
  it('is whole again though two wrote it at the same time', async () => {
    const routers = Array.from({ length: 8 }, (_, i) => start(`r${i}`));
    for (const [i, { replicas }] of routers.entries()) replicas.write('x', `${i}`);
    for (let i = 0; i < 12; i++) await Promise.all(routers.map(({ exchange }) => exchange.round()));
    await rounds(routers, 3);
    expectSame(routers);
    expect(Object.keys(routers[0]?.sum() ?? {})).toHaveLength(8);
  });

  it('has room for a newcomer when it is full of those that are gone', async () => {
    for (let i = 0; i < 70; i++) {
      const gone = start(`gone${i}`);
      await rounds([gone], 1);
    }
    const [a, b] = [start('a'), start('b')];
    a.replicas.write('x', '1');
    await rounds([a, b], 60);
    expect(b.told.get('a x')).toBe('1');
  });
});

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('write' as const),
      by: fc.nat(2),
      name: fc.constantFrom('p', 'q', 'r'),
      body: fc.nat(99),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('drop' as const), by: fc.nat(2), name: fc.constantFrom('p', 'q', 'r') }),
  },
  { weight: 8, arbitrary: fc.record({ type: fc.constant('round' as const), by: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('flush' as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('lose' as const), which: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('switch' as const), up: fc.boolean(), losesReplies: fc.boolean() }) },
  /** With its file and a copy of another's. */
  { weight: 1, arbitrary: fc.record({ type: fc.constant('restart' as const), by: fc.nat(2), of: fc.nat(2) }) },
);

test('whatever breaks, and whoever starts again from whatever file: in the end all have everything that is known, once', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      store = new BreakableStore();
      let lives = 0;
      const begin = (past: readonly Replica[] = []) =>
        startTestRouter({ id: `life${lives++}`, store, past, keys: PLAIN, now: () => now++ });
      const routers = Array.from({ length: 3 }, () => begin());
      for (const one of steps) {
        if (one.type === 'write') routers[one.by]?.replicas.write(one.name, `${one.body}`);
        else if (one.type === 'drop') routers[one.by]?.replicas.write(one.name, undefined);
        else if (one.type === 'round') await routers[one.by]?.exchange.round();
        else if (one.type === 'flush') store.values.clear();
        else if (one.type === 'lose')
          store.values.delete([...store.values.keys()][one.which % Math.max(1, store.values.size)] ?? '');
        else if (one.type === 'switch') Object.assign(store, { up: one.up, losesReplies: one.losesReplies });
        else {
          const file = [one.by, one.of].flatMap((n) => (routers[n] as TestRouter).replicas.ours.map(copyOf));
          routers[one.by] = begin(file);
        }
      }
      Object.assign(store, { up: true, losesReplies: false });
      // Long enough for a value that is missed to be asked for, given up and written anew.
      await rounds(routers, 24);
      expectSame(routers);
      for (const { id, replicas } of routers) {
        for (const [name, { body }] of replicas.own.parts) expect(routers[0]?.sum()[`${id} ${name}`]).toBe(body);
      }
    }),
    { numRuns: 100 },
  );
});
