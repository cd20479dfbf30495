/** One call of Batch, with requests, errands and a client that the test moves by hand. */
import { setImmediate as settled } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Reason } from '../../../proto/contract/faults.ts';
import { Fault } from '../../../proto/contract/faults.ts';
import { BatchRequest, BatchResponse } from '../../../proto/gen/infermesh/v1/inference.ts';
import { messagesOf } from '../../../proto/transport/framing.ts';
import { Batch, MOST_HELD_BYTES } from '../../../router/batch/batch.ts';
import type { Runnable } from '../../../router/batch/errands.ts';
import type { Outcome } from '../../../router/batch/outcome.ts';
import { NO_NODE_MS } from '../../../router/batch/retries.ts';
import { FakeClock, seeded } from '../../support/clock.ts';

const ANSWER: Outcome = { $case: 'answer', value: { started: undefined, text: 'text', finished: undefined } };

/** Errands that are open, in the order in which they began. */
interface Open {
  readonly id: string;
  readonly remainingMs: number | undefined;
  answer(): void;
  fail(reason: Reason, retryAfterMs?: number): void;
}

class World {
  readonly clock = new FakeClock();
  readonly open: Open[] = [];
  readonly begun: string[] = [];
  readonly cancelled: string[] = [];
  readonly outcomes = new Map<string, Outcome>();
  readonly batch: Batch;
  readonly done: Promise<void>;
  window = 4;
  /** Bytes that the client has not taken. */
  held = 0;
  mostOpen = 0;
  taken = 0;
  ended: Fault | 'OK' | undefined;
  readonly #requests: Buffer[] = [];
  #over = false;
  #wake: () => void = () => {};
  readonly #stream;

  constructor() {
    const world = this;
    this.#stream = {
      get held() {
        return world.held;
      },
      onRelease: () => {},
      onGone: () => {},
      open: true,
      write: (data: Buffer) => {
        for (const message of messagesOf(data)) {
          const { id, outcome } = BatchResponse.decode(message);
          if (this.outcomes.has(id)) throw new Error(`${id} has two outcomes`);
          this.outcomes.set(id, outcome as Outcome);
        }
      },
      end: () => {
        this.ended ??= 'OK';
      },
      fail: (fault: Fault) => {
        this.ended ??= fault;
      },
    };
    this.batch = new Batch({
      clock: this.clock,
      random: seeded(1),
      requests: { next: () => this.#next(), stop: () => this.halfClose() },
      stream: this.#stream,
      context: { metadata: () => undefined, remainingMs: undefined, certificateNames: () => [] },
      deadlineAt: 60_000,
      begin: (item, { remainingMs }) => this.#begin(item, remainingMs),
      window: { size: (wanted) => wanted ?? this.window },
    });
    this.done = this.batch.run();
  }

  send(...requests: readonly Partial<BatchRequest>[]): void {
    for (const request of requests)
      this.#requests.push(Buffer.from(BatchRequest.encode(BatchRequest.fromPartial(request)).finish()));
    this.#wake();
  }

  halfClose(): void {
    this.#over = true;
    this.#wake();
  }

  /** The client has taken what was held for it. */
  release(): void {
    this.held = 0;
    this.#stream.onRelease();
  }

  leave(): void {
    this.ended = new Fault('CANCELLED', 'gone');
    this.#stream.open = false;
    this.#stream.onGone();
  }

  /** The outcome's reason, or that there is an answer. */
  reasonOf(id: string): string | undefined {
    const outcome = this.outcomes.get(id);
    return outcome?.$case === 'failure' ? outcome.value.reason : outcome?.$case;
  }

  async #next(): Promise<Buffer | undefined> {
    while (this.#requests.length === 0 && !this.#over) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const request = this.#requests.shift();
    if (request) this.taken++;
    return request;
  }

  #begin({ id }: Runnable, remainingMs: number | undefined) {
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
    const close = () => this.open.splice(this.open.indexOf(one), 1);
    const one: Open = {
      id,
      remainingMs,
      answer: () => {
        close();
        resolve(ANSWER);
      },
      fail: (reason, retryAfterMs) => {
        close();
        reject(new Fault(reason, 'as the test says', retryAfterMs === undefined ? {} : { retryAfterMs }));
      },
    };
    this.open.push(one);
    this.begun.push(id);
    this.mostOpen = Math.max(this.mostOpen, this.open.length);
    const cancel = () => {
      this.cancelled.push(id);
      one.fail('CANCELLED');
    };
    return { outcome: promise, cancel };
  }
}

const chat = (id: string): Partial<BatchRequest> => ({ id, item: { $case: 'chat', value: { messages: [] } as never } });
const chats = (count: number) => Array.from({ length: count }, (_, i) => chat(`i${i}`));

describe('the window', () => {
  it('is what is at work at most, and a request is read only when there is a place for it', async () => {
    const world = new World();
    world.send(...chats(10));
    await settled();
    expect(world.begun).toEqual(['i0', 'i1', 'i2', 'i3']);
    expect(world.taken).toBe(4);
    world.open[1]?.answer();
    await settled();
    expect(world.begun.at(-1)).toBe('i4');
    expect(world.taken).toBe(5);
  });

  it('is what the first request says', async () => {
    const world = new World();
    world.send({ ...chat('i0'), window: 2 }, chat('i1'), chat('i2'));
    await settled();
    expect(world.taken).toBe(2);
  });

  it('lets one item in where none is at work, whatever its size', async () => {
    const world = new World();
    world.window = 0;
    world.send(...chats(2));
    await settled();
    expect(world.taken).toBe(1);
  });
});

describe('a client that does not read', () => {
  it('has nothing more read from it once too much waits for it, until it has taken that', async () => {
    const world = new World();
    world.send(chat('first'));
    await settled();
    world.held = MOST_HELD_BYTES + 1;
    world.send(...chats(3));
    await settled();
    // The one that it waited for already.
    expect(world.begun).toEqual(['first', 'i0']);
    world.release();
    await settled();
    expect(world.taken).toBe(4);
  });
});

describe('an item that is refused for now', () => {
  it('is tried again after the time that the refusal names, and nothing new is read meanwhile', async () => {
    const world = new World();
    world.window = 1;
    world.send(...chats(2));
    await settled();
    world.open[0]?.fail('QUEUE_FULL', 2000);
    await settled();
    world.window = 2;
    world.release();
    world.clock.advance(1400);
    await settled();
    expect(world.begun).toEqual(['i0']);
    world.clock.advance(1200);
    await settled();
    expect(world.begun).toEqual(['i0', 'i0', 'i1']);
  });

  it('is tried as soon as others of the batch are answered, two with each', async () => {
    const world = new World();
    world.send(...chats(4));
    world.halfClose();
    await settled();
    for (const one of world.open.slice(1)) one.fail('QUOTA_EXCEEDED', 60_000);
    await settled();
    expect(world.open.map(({ id }) => id)).toEqual(['i0']);
    world.open[0]?.answer();
    await settled();
    expect(world.open.map(({ id }) => id)).toEqual(['i1', 'i2']);
  });

  it('is tried until the time of the batch is over, and then told why', async () => {
    const world = new World();
    world.send(chat('i0'));
    await settled();
    for (let i = 0; i < 500; i++) {
      world.open[0]?.fail('QUOTA_EXCEEDED');
      await settled();
      world.clock.advance(1000);
      await settled();
    }
    world.open[0]?.fail('QUOTA_EXCEEDED');
    await settled();
    world.batch.close(new Fault('DEADLINE_EXCEEDED', 'over'));
    await world.done;
    expect(world.reasonOf('i0')).toBe('QUOTA_EXCEEDED');
    expect(world.ended).toMatchObject({ reason: 'DEADLINE_EXCEEDED' });
  });

  it('is tried three times more where something broke, and not at all where it is its own fault', async () => {
    const world = new World();
    world.send(chat('broken'), chat('wrong'));
    await settled();
    world.open[1]?.fail('CONTEXT_TOO_LONG');
    for (let i = 0; i < 4; i++) {
      world.open[0]?.fail('NODE_LOST');
      await settled();
      world.clock.advance(10_000);
      await settled();
    }
    expect(world.begun.filter((id) => id === 'broken')).toHaveLength(4);
    expect(world.reasonOf('broken')).toBe('NODE_LOST');
    expect(world.reasonOf('wrong')).toBe('CONTEXT_TOO_LONG');
  });

  it('where no node is there for it is tried for two minutes', async () => {
    const world = new World();
    world.send(chat('i0'));
    await settled();
    while (world.clock.now() < NO_NODE_MS) {
      expect(world.outcomes.size).toBe(0);
      world.open[0]?.fail('NO_NODE');
      await settled();
      world.clock.advance(1000);
      await settled();
    }
    world.open[0]?.fail('NO_NODE');
    await settled();
    expect(world.reasonOf('i0')).toBe('NO_NODE');
  });

  it('where no node is there for it waits no longer than the others that ask for the same, unless one was answered', async () => {
    const world = new World();
    world.window = 1;
    world.send(...chats(3));
    await settled();
    world.open[0]?.fail('NO_NODE');
    await settled();
    world.clock.advance(NO_NODE_MS);
    await settled();
    for (const id of ['i0', 'i1']) {
      world.open[0]?.fail('NO_NODE');
      await settled();
      expect(world.reasonOf(id)).toBe('NO_NODE');
    }
    world.open[0]?.answer();
    world.send(chat('i3'));
    await settled();
    world.open[0]?.fail('NO_NODE');
    await settled();
    expect(world.reasonOf('i3')).toBeUndefined();
  });

  it('has what is left of the batch in each try', async () => {
    const world = new World();
    world.send(chat('i0'));
    await settled();
    world.open[0]?.fail('QUEUE_FULL', 10_000);
    await settled();
    world.clock.advance(15_000);
    await settled();
    expect(world.open[0]?.remainingMs).toBe(45_000);
  });
});

describe('the end', () => {
  it('comes when the client has sent all and what is at work has ended', async () => {
    const world = new World();
    world.send(...chats(2));
    world.halfClose();
    await settled();
    world.open[0]?.answer();
    await settled();
    expect(world.ended).toBeUndefined();
    world.open[0]?.answer();
    await world.done;
    expect(world.ended).toBe('OK');
  });

  it('of the router lets what is at work end, fails what waits, and says so', async () => {
    const world = new World();
    world.send(...chats(6));
    await settled();
    world.open[3]?.fail('QUEUE_FULL', 5000);
    await settled();
    world.batch.close(new Fault('DRAINING', 'over'));
    await settled();
    expect(world.reasonOf('i3')).toBe('DRAINING');
    for (const one of [...world.open]) one.answer();
    await world.done;
    expect(world.taken).toBe(4);
    expect([...world.outcomes.keys()].toSorted()).toEqual(['i0', 'i1', 'i2', 'i3']);
    expect(world.ended).toMatchObject({ reason: 'DRAINING' });
  });

  it('of the router changes nothing for a batch that has been read whole', async () => {
    const world = new World();
    world.send(chat('i0'));
    world.halfClose();
    await settled();
    world.batch.close(new Fault('DRAINING', 'over'));
    world.open[0]?.answer();
    await world.done;
    expect(world.reasonOf('i0')).toBe('answer');
    expect(world.ended).toBe('OK');
  });

  it('by a client that leaves cancels what is at work, and tries nothing again', async () => {
    const world = new World();
    world.send(...chats(4));
    await settled();
    world.open[0]?.fail('QUEUE_FULL', 1000);
    await settled();
    world.leave();
    await world.done;
    expect(world.cancelled.toSorted()).toEqual(['i1', 'i2', 'i3']);
    world.clock.advance(10_000);
    await settled();
    expect(world.open).toEqual([]);
    expect(world.clock.pending).toBe(0);
  });

  it('by a defect is left to whoever serves the call, who logs it, when what is at work has ended', async () => {
    const world = new World();
    Object.defineProperty(world, 'window', {
      get: () => {
        throw new RangeError('a defect');
      },
    });
    world.send(...chats(2));
    await settled();
    world.open[0]?.answer();
    await expect(world.done).rejects.toMatchObject({ reason: 'INTERNAL' });
    expect(world.reasonOf('i0')).toBe('answer');
    expect(world.ended).toBeUndefined();
  });

  it('comes with a request that nothing can be told of, after what was read before it', async () => {
    const world = new World();
    world.send(chat('i0'), { id: 'not printable \u0007' }, chat('i2'));
    await settled();
    expect(world.ended).toBeUndefined();
    world.open[0]?.answer();
    await world.done;
    expect([...world.outcomes.keys()]).toEqual(['i0']);
    expect(world.ended).toMatchObject({
      reason: 'INVALID_REQUEST',
      message: 'id must be 1 to 128 printable ASCII characters, received 15 bytes in request 2',
    });
  });
});

/** What may happen next, by chance. */
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant('answer' as const), at: fc.nat(20) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('fail' as const),
      at: fc.nat(20),
      reason: fc.constantFrom<Reason>('QUEUE_FULL', 'QUOTA_EXCEEDED', 'NO_NODE', 'NODE_LOST', 'ENGINE_FAILED', 'INVALID_REQUEST'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('send' as const), count: fc.nat(8) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('time' as const), ms: fc.nat(3000) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('stall' as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('release' as const) }) },
);
const ending = fc.constantFrom('half-close', 'drain', 'leave' as const);

it('whatever happens, each item that was read has one outcome, the window holds, and nothing is left behind', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), ending, fc.integer({ min: 1, max: 6 }), async (steps, last, window) => {
      const world = new World();
      world.window = window;
      let sent = 0;
      for (const one of steps) {
        if (one.type === 'answer') world.open[one.at % Math.max(1, world.open.length)]?.answer();
        else if (one.type === 'fail') world.open[one.at % Math.max(1, world.open.length)]?.fail(one.reason);
        else if (one.type === 'send') world.send(...Array.from({ length: one.count }, () => chat(`i${sent++}`)));
        else if (one.type === 'time') world.clock.advance(one.ms);
        else if (one.type === 'stall') world.held = MOST_HELD_BYTES + 1;
        else world.release();
        await settled();
      }
      world.release();
      if (last === 'half-close') world.halfClose();
      else if (last === 'drain') world.batch.close(new Fault('DRAINING', 'over'));
      else world.leave();
      for (let i = 0; i < 200 && world.open.length + world.clock.pending > 0; i++) {
        world.open[0]?.answer();
        world.clock.advance(1000);
        await settled();
      }
      for (let i = 0; i < 200 && world.ended === undefined; i++) {
        world.open[0]?.answer();
        await settled();
      }
      await world.done;
      expect(world.mostOpen).toBeLessThanOrEqual(window);
      expect(world.outcomes.size).toBe(world.taken);
      if (last === 'half-close') expect(world.taken).toBe(sent);
      expect(world.open).toEqual([]);
      expect(world.clock.pending).toBe(0);
    }),
    { numRuns: 300 },
  );
});
