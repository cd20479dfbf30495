/** Batches of a client with several routers, which do what the test says. */
import { setImmediate as settled } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BatchFailover, MOST_FIRST, MOST_VAIN } from '../../client/batch-failover.ts';
import type { BatchItem, BatchOutcome, Mesh } from '../../client/index.ts';
import { connect } from '../../client/index.ts';
import type { Reason } from '../../proto/contract/faults.ts';
import { Fault } from '../../proto/contract/faults.ts';
import { seeded } from '../support/clock.ts';
import type { AskedBatch } from './fake-router.ts';
import { FakeRouter } from './fake-router.ts';

let one: FakeRouter;
let two: FakeRouter;
let mesh: Mesh;

beforeEach(async () => {
  one = await FakeRouter.start('one');
  two = await FakeRouter.start('two');
  mesh = connect([one.address, two.address]);
});
afterEach(async () => {
  mesh.close();
  await one[Symbol.asyncDispose]();
  await two[Symbol.asyncDispose]();
});

const items = (count: number): BatchItem[] => Array.from({ length: count }, (_, i) => ({ id: `i${i}`, messages: `prompt ${i}` }));
const idsOf = (all: readonly BatchItem[]) => all.map(({ id }) => id).toSorted();
const fault = (reason: Reason) => new Fault(reason, 'as the test says');

async function read(batch: AsyncIterable<BatchOutcome>): Promise<BatchOutcome[]> {
  const outcomes: BatchOutcome[] = [];
  for await (const outcome of batch) outcomes.push(outcome);
  return outcomes;
}

/** So many answered, then as the test goes on. */
const answering = (count: number, then: (batch: AskedBatch) => void) => async (batch: AskedBatch) => {
  for (let i = 0; i < count; i++) {
    const request = await batch.next();
    if (request) batch.answer(request.id);
  }
  then(batch);
};

describe('a batch', () => {
  it('gives an outcome for each item, and the window that was asked for goes with the first request', async () => {
    const outcomes = await read(mesh.batch(items(100), { window: 7 }));
    expect(idsOf(outcomes as never)).toEqual(idsOf(items(100)));
    expect(outcomes[0]).toMatchObject({ type: 'answer', id: 'i0', text: 'answer to i0', started: { model: 'canned' } });
    expect(one.batches.map(({ window }) => window)).toEqual([7]);
  });

  it('has the failure of an item as its outcome, with what the router said', async () => {
    one.onBatch = async (batch) => {
      for (let request = await batch.next(); request; request = await batch.next())
        batch.refuse(request.id, fault('CONTEXT_TOO_LONG'));
      batch.stream.end();
    };
    const [outcome] = await read(mesh.batch(items(1)));
    expect(outcome).toMatchObject({
      type: 'failed',
      id: 'i0',
      fault: { reason: 'CONTEXT_TOO_LONG', message: 'as the test says' },
    });
  });

  it('tells of an item that is wrong without sending it, and goes on', async () => {
    const wrong: BatchItem[] = [
      { id: 'a', messages: 'hello' },
      { id: 'b', messages: 'hello', maxTokens: 0 },
      { id: 'not printable\n', messages: 'hello' },
      { id: 'c', texts: [] },
      { id: 'd', texts: ['hello'] },
    ];
    const outcomes = await read(mesh.batch(wrong));
    const failed = outcomes.filter((outcome) => outcome.type === 'failed');
    expect(failed.map(({ id, fault }) => [id, fault.violations[0]?.field])).toEqual([
      ['b', 'max_tokens'],
      ['not printable\n', 'id'],
      ['c', 'texts'],
    ]);
    expect(one.batches[0]?.ids).toEqual(['a', 'd']);
  });

  it('of nothing is over at once', async () => {
    expect(await read(mesh.batch([]))).toEqual([]);
  });

  it('refuses a window that is none before anything is sent', async () => {
    await expect(mesh.batch(items(1), { window: 0 }).next()).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
    expect(one.batches).toEqual([]);
  });

  it('throws what its items throw, and cancels the call', async () => {
    const gone = Promise.withResolvers<void>();
    const came = Promise.withResolvers<void>();
    one.onBatch = (batch) => {
      batch.stream.onGone = gone.resolve;
      came.resolve();
    };
    const broken = async function* () {
      yield* items(3);
      await came.promise;
      throw new RangeError('the file has ended');
    };
    await expect(read(mesh.batch(broken()))).rejects.toThrow('the file has ended');
    await gone.promise;
  });

  it('takes items no faster than the router does, and asks for none more once it is left', async () => {
    let made = 0;
    let returned = false;
    one.onBatch = async (batch) => {
      const request = await batch.next();
      if (request) batch.answer(request.id);
    };
    function* endless() {
      try {
        for (;;) yield { id: `i${made++}`, messages: 'x'.repeat(10_000) };
      } finally {
        returned = true;
      }
    }
    for await (const { id } of mesh.batch(endless())) {
      expect(id).toBe('i0');
      break;
    }
    // What fits into flow control and what both ends read ahead.
    expect(made).toBeLessThan(1000);
    expect(returned).toBe(true);
  });

  it('ends with the signal, also while its items are waited for', async () => {
    const leave = new AbortController();
    const never = async function* (): AsyncGenerator<BatchItem> {
      yield { id: 'a', messages: 'hello' };
      await new Promise(() => {});
    };
    const batch = mesh.batch(never(), { signal: leave.signal });
    expect((await batch.next()).value).toMatchObject({ id: 'a' });
    leave.abort();
    await expect(batch.next()).rejects.toMatchObject({ reason: 'CANCELLED' });
  });

  it('ends with the signal also where a wrong item is still to be told and no other one comes', async () => {
    const gone = Promise.withResolvers<void>();
    one.onBatch = async (batch) => {
      batch.stream.onGone = gone.resolve;
      for (let request = await batch.next(); request; request = await batch.next()) batch.answer(request.id);
    };
    const answered = Promise.withResolvers<void>();
    const leave = new AbortController();
    const mixed = async function* (): AsyncGenerator<BatchItem> {
      yield { id: 'a', messages: 'hello' };
      await answered.promise;
      yield { id: 'wrong', messages: 'hello', maxTokens: 0 };
      await new Promise(() => {});
    };
    const batch = mesh.batch(mixed(), { signal: leave.signal });
    expect((await batch.next()).value).toMatchObject({ id: 'a' });
    answered.resolve();
    await settled();
    leave.abort();
    await gone.promise;
    expect((await batch.next()).value).toMatchObject({ id: 'wrong' });
    await expect(batch.next()).rejects.toMatchObject({ reason: 'CANCELLED' });
  });

  it('ends with its deadline', async () => {
    one.onBatch = async () => {};
    await expect(read(mesh.batch(items(1), { deadlineMs: 200 }))).rejects.toMatchObject({ reason: 'DEADLINE_EXCEEDED' });
  });
});

describe('where a router is lost', () => {
  it.each<[string, (batch: AskedBatch) => void]>([
    ['is cut off', () => one.proxy.cut()],
    ['is killed', () => void one.proxy.kill()],
    ['shuts down', ({ stream }) => stream.fail(fault('DRAINING'))],
    [
      'fails what is left of it and shuts down',
      (batch) => {
        for (const id of batch.ids.slice(5)) batch.refuse(id, fault('DRAINING'));
        batch.stream.fail(fault('DRAINING'));
      },
    ],
  ])('that %s, the next one gets what has no outcome yet', async (_, lose) => {
    one.onBatch = answering(5, lose);
    const outcomes = await read(mesh.batch(items(40)));
    expect(idsOf(outcomes as never)).toEqual(idsOf(items(40)));
    expect(outcomes.every(({ type }) => type === 'answer')).toBe(true);
    const again = [...one.batches.slice(1), ...two.batches].flatMap(({ ids }) => ids);
    expect(again).not.toContain('i0');
  });

  it('that knows no model since it has just begun is asked again', async () => {
    one.onBatch = answering(1, () => one.proxy.cut());
    two.onBatch = async (batch) => {
      const first = two.batches.length === 1;
      for (let request = await batch.next(); request; request = await batch.next()) {
        if (first) batch.refuse(request.id, fault('MODEL_NOT_FOUND'));
        else batch.answer(request.id);
      }
      batch.stream.end();
    };
    const outcomes = await read(mesh.batch(items(10)));
    expect(outcomes.map(({ type }) => type)).toEqual(Array(10).fill('answer'));
  });

  it('without failover it is told, and nothing is sent again', async () => {
    one.onBatch = answering(5, () => one.proxy.cut());
    await expect(read(mesh.batch(items(40), { failover: false }))).rejects.toMatchObject({ reason: 'UNREACHABLE' });
    expect(two.batches).toEqual([]);
  });

  it('whatever routers do, in whatever order, each item has one outcome', async () => {
    const act = fc.constantFrom('answer', 'answer', 'answer', 'busy', 'skip', 'cut', 'drain' as const);
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 60 }), async (acts, count) => {
        // More in a row that bring nothing would end the batch.
        const breaks = acts.filter((act) => act === 'cut' || act === 'drain').length;
        const left =
          breaks < MOST_FIRST ? [...acts] : acts.map((act) => (act === 'cut' ? 'answer' : act === 'drain' ? 'skip' : act));
        const serve = (router: FakeRouter) => async (batch: AskedBatch) => {
          const skipped: string[] = [];
          for (let request = await batch.next(); request; request = await batch.next()) {
            const act = left.shift() ?? 'answer';
            if (act === 'answer') batch.answer(request.id);
            else if (act === 'busy') batch.refuse(request.id, fault('ENGINE_FAILED'));
            else if (act === 'skip') skipped.push(request.id);
            else if (act === 'cut') return router.proxy.cut();
            else return batch.stream.fail(fault('DRAINING'));
          }
          for (const id of skipped) batch.answer(id);
          batch.stream.end();
        };
        for (const router of [one, two]) {
          router.onBatch = serve(router);
          router.batches.length = 0;
        }
        const outcomes = await read(mesh.batch(items(count)));
        expect(idsOf(outcomes as never)).toEqual(idsOf(items(count)));
      }),
      { numRuns: 25, endOnFailure: true },
    );
  }, 60_000);
});

describe('whether a batch goes on', () => {
  const of = (routers = 2) => new BatchFailover(routers, seeded(1));
  const passes = new Set<Reason>([
    'UNREACHABLE',
    'DRAINING',
    'NO_NODE',
    'NODE_LOST',
    'NODE_STALLED',
    'ENGINE_CRASHED',
    'STREAM_NOT_RESUMABLE',
  ]);

  it.each<Reason>([
    'UNREACHABLE',
    'DRAINING',
    'UNAUTHENTICATED',
    'INVALID_REQUEST',
    'DEADLINE_EXCEEDED',
    'CANCELLED',
    'INTERNAL',
  ])('depends on why the call ended: %s', (reason) => {
    const policy = of();
    policy.came();
    if (passes.has(reason)) expect(policy.next(fault(reason))).toBeGreaterThan(0);
    else expect(() => policy.next(fault(reason))).toThrow('as the test says');
  });

  it('before anything has come it is tried a few times, where there is another router', () => {
    const policy = of(3);
    for (let i = 1; i < MOST_FIRST; i++) policy.next(fault('UNREACHABLE'));
    expect(() => policy.next(fault('UNREACHABLE'))).toThrow();
    expect(() => of(1).next(fault('UNREACHABLE'))).toThrow();
  });

  it('after something has come it goes on until calls have long brought nothing', () => {
    const policy = of(1);
    policy.came();
    let pauses = 0;
    for (let i = 1; i < MOST_VAIN; i++) pauses += policy.next(fault('UNREACHABLE'));
    expect(pauses).toBeGreaterThan(25_000);
    expect(() => policy.next(fault('UNREACHABLE'))).toThrow();
  });
});

it('items that are asked for once are not lost with the call that asked', async () => {
  const gate = Promise.withResolvers<void>();
  const late = async function* (): AsyncGenerator<BatchItem> {
    yield { id: 'first', messages: 'hello' };
    await gate.promise;
    yield { id: 'late', messages: 'hello' };
  };
  one.onBatch = answering(1, () => one.proxy.cut());
  const batch = mesh.batch(late());
  expect((await batch.next()).value).toMatchObject({ id: 'first' });
  while (two.batches.length === 0 && one.batches.length === 1) await settled();
  gate.resolve();
  expect((await batch.next()).value).toMatchObject({ id: 'late', type: 'answer' });
  expect((await batch.next()).done).toBe(true);
});
