/** A client with several routers, one of which fails in every way it can. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CallOptions, ChatEvent, Mesh } from '../../client/index.ts';
import { connect } from '../../client/index.ts';
import { replayText } from '../../nodes/backends/replay.ts';
import type { Reason } from '../../proto/contract/faults.ts';
import { Fault } from '../../proto/contract/faults.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import type { Asked } from './fake-router.ts';
import { FakeRouter, MODEL } from './fake-router.ts';

const NOBODY = '127.0.0.1:1';
const INPUT = { messages: 'hello' };
const whole = (tokens = 20) => replayText([{ role: Role.ROLE_USER, text: 'hello' }], tokens);

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

/** What the reader gets. */
async function read(chat: AsyncIterable<ChatEvent>, onDelta: (seq: number) => void = () => {}) {
  const events: ChatEvent[] = [];
  for await (const event of chat) {
    events.push(event);
    if (event.type === 'delta') onDelta(event.seq);
  }
  return events;
}
const textOf = (events: readonly ChatEvent[]) => events.map((event) => (event.type === 'delta' ? event.text : '')).join('');
const count = (events: readonly ChatEvent[], type: ChatEvent['type']) => events.filter((event) => event.type === type).length;

/** One whole stream: one start, every token once and in order, one end. */
function expectOneStream(events: readonly ChatEvent[], migrations: number): void {
  expect(events[0]?.type).toBe('started');
  expect(count(events, 'started')).toBe(1);
  expect(count(events, 'finished')).toBe(1);
  expect(events.at(-1)).toMatchObject({ type: 'finished', migrations });
  let due = 0;
  for (const event of events) {
    if (event.type !== 'delta') continue;
    expect(event.seq).toBe(due);
    due += event.tokens;
  }
  expect(textOf(events)).toBe(whole());
}

/** Gives this much and leaves the stream open. */
const begin =
  (tokens: number) =>
  (asked: Asked): void => {
    asked.started().tokens(asked.delivered?.tokens ?? 0, tokens);
  };
const failing = (reason: Reason) => (asked: Asked) => asked.fail(new Fault(reason, 'as the test says'));
const refusal = (reason: Reason) => expect.objectContaining({ name: 'Fault', reason });

describe('the router in use', () => {
  it('is the first that answers, and the one asked from then on', async () => {
    using away = connect(`${NOBODY}, ${two.address}`);
    expect(away.addresses).toEqual([NOBODY, two.address]);
    expectOneStream(await read(away.chat(INPUT)), 0);
    expect(away.address).toBe(two.address);
    expect((await away.stats()).routerId).toBe('two');
  });

  it('is stuck to while it is healthy', async () => {
    for (let n = 0; n < 3; n++) await mesh.ask(INPUT);
    expect([one.asked.length, two.asked.length]).toEqual([3, 0]);
  });

  it('is known before the first call to whoever waits for it', async () => {
    using away = connect([NOBODY, two.address]);
    await away.ready();
    expect(away.address).toBe(two.address);
    await expect(connect([NOBODY]).ready(50)).rejects.toEqual(refusal('UNREACHABLE'));
  });

  it('is another one for every other question once it is gone', async () => {
    await mesh.nodes();
    await one.proxy.kill();
    expect((await mesh.stats()).routerId).toBe('two');
    expect(await mesh.nodes()).toEqual([]);
    expect(await mesh.models()).toEqual([]);
    expect((await mesh.explain(INPUT)).candidates).toEqual([]);
  });

  it('must be named', () => {
    for (const none of ['', ' , ', []]) expect(() => connect(none)).toThrow(refusal('INVALID_REQUEST'));
  });
});

describe('a call that fails before its first event', () => {
  it.each<Reason>(['DRAINING', 'NO_NODE', 'NODE_LOST'])('is made at the next router: %s', async (reason) => {
    one.onAsked = failing(reason);
    expectOneStream(await read(mesh.chat(INPUT)), 0);
    const [first, second] = [one.asked[0]?.chat, two.asked[0]?.chat];
    expect(second).toEqual(first);
    // A router without a node may well serve the next request; one that ends will not.
    expect(mesh.address).toBe(reason === 'DRAINING' ? two.address : one.address);
  });

  it('is made at the next router where one takes connections and never answers', async () => {
    one.proxy.freeze();
    expectOneStream(await read(mesh.chat(INPUT)), 0);
    expect(two.asked).toHaveLength(1);
  });

  it.each<Reason>(['INVALID_REQUEST', 'QUEUE_FULL', 'MODEL_NOT_FOUND', 'POISON_SUSPECTED', 'IDEMPOTENCY_CONFLICT'])(
    'is not made again where that would not help, or is for the caller to decide: %s',
    async (reason) => {
      one.onAsked = failing(reason);
      await expect(mesh.ask(INPUT)).rejects.toEqual(refusal(reason));
      expect([one.asked.length, two.asked.length]).toEqual([1, 0]);
    },
  );

  it('is given up after a bounded number of tries', async () => {
    one.onAsked = failing('NO_NODE');
    two.onAsked = failing('NO_NODE');
    await expect(mesh.ask(INPUT)).rejects.toEqual(refusal('NO_NODE'));
    expect([one.asked.length, two.asked.length]).toEqual([4, 4]);
  });

  it('is given up when the deadline is too near for another try', async () => {
    one.onAsked = failing('NO_NODE');
    two.onAsked = failing('NO_NODE');
    await expect(mesh.ask(INPUT, { deadlineMs: 300 })).rejects.toEqual(refusal('NO_NODE'));
    expect(one.asked.length + two.asked.length).toBeLessThan(6);
  });

  it('is not made again at the only router there is', async () => {
    using only = connect(one.address);
    one.onAsked = failing('DRAINING');
    await expect(only.ask(INPUT)).rejects.toEqual(refusal('DRAINING'));
    expect(one.asked).toHaveLength(1);
  });
});

describe('a stream that breaks in the middle', () => {
  const breaks: [how: string, now: () => unknown][] = [
    ['its router is killed', () => one.proxy.kill()],
    ['its connection is reset', () => one.proxy.cut()],
    ['its router stands still', () => one.proxy.freeze()],
    ['its router ends by force', () => one.shutdown()],
    ['its router drains', () => one.asked[0]?.fail(new Fault('DRAINING', 'shutting down'))],
    ['its node is lost', () => one.asked[0]?.fail(new Fault('NODE_LOST', 'died'))],
    ['it ends without an end', () => one.asked[0]?.stream.end()],
  ];

  it.each(breaks)('goes on at the other router, and the reader sees one stream: %s', async (_how, now) => {
    one.onAsked = begin(12);
    const events = await read(mesh.chat(INPUT), (seq) => seq === 11 && now());
    expectOneStream(events, 1);
    const [asked] = two.asked;
    expect(asked?.chat).toEqual(one.asked[0]?.chat);
    expect(asked?.delivered).toEqual({
      model: MODEL.name,
      tokenizerDigest: MODEL.tokenizerDigest,
      tokens: 12,
      text: whole(12),
      tokenIds: Array.from({ length: 12 }, (_, n) => n),
    });
  });

  it('counts the moves of its nodes as well', async () => {
    one.onAsked = (asked) => asked.started().tokens(0, 12).fail(new Fault('DRAINING', 'shutting down'));
    two.onAsked = (asked) => asked.started().tokens(12, 20).finish(2);
    expectOneStream(await read(mesh.chat(INPUT)), 3);
  });

  it('goes on at the same router where there is no other, once that is back', async () => {
    using only = connect(one.address);
    one.onAsked = (asked) => (asked.delivered ? asked.started().tokens(12, 20).finish() : begin(12)(asked));
    expectOneStream(await read(only.chat(INPUT), (seq) => seq === 11 && one.proxy.cut()), 1);
    expect(one.asked).toHaveLength(2);
  });

  it('keeps the key that its caller gave', async () => {
    one.onAsked = (asked) => asked.started().tokens(0, 12).fail(new Fault('DRAINING', 'shutting down'));
    await mesh.ask({ ...INPUT, idempotencyKey: 'mine' });
    expect(two.asked[0]?.chat.idempotencyKey).toBe('mine');
  });

  it('drops what comes twice', async () => {
    one.onAsked = (asked) => asked.started().tokens(0, 12).fail(new Fault('DRAINING', 'shutting down'));
    two.onAsked = (asked) => asked.started().tokens(5, 20).finish();
    expectOneStream(await read(mesh.chat(INPUT)), 1);
  });

  it('ends where a token is missing', async () => {
    one.onAsked = (asked) => asked.started().tokens(0, 12).fail(new Fault('DRAINING', 'shutting down'));
    two.onAsked = (asked) => asked.started().tokens(13, 20);
    await expect(mesh.ask(INPUT)).rejects.toThrow('the answer goes on at token 13, due was 12');
    await two.asked[0]?.gone;
  });

  it('goes on at a router that has just started, once its nodes are there', async () => {
    one.onAsked = (asked) => {
      if (asked.delivered) asked.fail(new Fault('DRAINING', 'shutting down'));
      else asked.started().tokens(0, 12).fail(new Fault('DRAINING', 'shutting down'));
    };
    two.onAsked = (asked) => {
      if (two.asked.length < 3) asked.fail(new Fault('MODEL_NOT_FOUND', 'no node yet'));
      else asked.started().tokens(12, 20).finish();
    };
    expectOneStream(await read(mesh.chat(INPUT)), 1);
  });

  it.each<Reason>(['STREAM_NOT_RESUMABLE', 'CONTEXT_TOO_LONG', 'IDEMPOTENCY_CONFLICT'])(
    'ends with the reason why nobody can go on: %s',
    async (reason) => {
      one.onAsked = (asked) => asked.started().tokens(0, 12).fail(new Fault('DRAINING', 'shutting down'));
      two.onAsked = failing(reason);
      await expect(mesh.ask(INPUT)).rejects.toEqual(refusal(reason));
      expect([one.asked.length, two.asked.length]).toEqual([1, 1]);
    },
  );

  it('ends with what broke it when going on keeps failing', async () => {
    one.onAsked = (asked) => {
      if (asked.delivered) asked.fail(new Fault('NO_NODE', 'none'));
      else asked.started().tokens(0, 12).fail(new Fault('NODE_LOST', 'died'));
    };
    two.onAsked = failing('NO_NODE');
    await expect(mesh.ask(INPUT)).rejects.toEqual(refusal('NODE_LOST'));
    expect(one.asked.length + two.asked.length).toBe(9);
  });

  it('goes on three times without getting further, and no more', async () => {
    const dies = (asked: Asked) => {
      const from = asked.delivered?.tokens ?? 0;
      asked
        .started()
        .tokens(from, from + 1)
        .fail(new Fault('DRAINING', 'leaves'));
    };
    one.onAsked = dies;
    two.onAsked = dies;
    await expect(mesh.ask(INPUT)).rejects.toEqual(refusal('DRAINING'));
    expect(one.asked.length + two.asked.length).toBe(4);
  });

  it('waits for a slot as long as it is told to, since half an answer is worth it', async () => {
    const askedAt: number[] = [];
    two.onAsked = (asked) => {
      askedAt.push(performance.now());
      if (askedAt.length === 1) asked.fail(new Fault('QUEUE_FULL', 'full', { retryAfterMs: 400 }));
      else asked.started().tokens(12, 20).finish();
    };
    // The one that drains takes nothing, so that the wait before the last call is the one it was told.
    one.onAsked = (asked) => {
      if (asked.delivered) two.onAsked(asked);
      else asked.started().tokens(0, 12).fail(new Fault('DRAINING', 'shutting down'));
    };
    expectOneStream(await read(mesh.chat(INPUT)), 1);
    const [first = 0, second = 0] = askedAt;
    expect(second - first).toBeGreaterThan(390);
  });

  it('is the whole answer already when only its status is lost', async () => {
    one.onAsked = (asked) => {
      asked
        .started()
        .tokens(0, 20)
        .send({ $case: 'finished', value: { reason: 1, migrations: 0 } });
    };
    const events: ChatEvent[] = [];
    for await (const event of mesh.chat(INPUT)) {
      events.push(event);
      if (event.type === 'finished') one.proxy.cut();
    }
    expectOneStream(events, 0);
    expect(two.asked).toHaveLength(0);
  });
});

describe('a caller that wants none of it', () => {
  it.each<[string, CallOptions, boolean]>([
    ['for one call', { failover: false }, true],
    ['for the whole connection', {}, false],
  ])('gets what broke the stream, and nothing else is tried: %s', async (_name, options, failover) => {
    using own = connect([one.address, two.address], { failover });
    one.onAsked = (asked) => asked.started().tokens(0, 12).fail(new Fault('DRAINING', 'shutting down'));
    await expect(own.ask(INPUT, options)).rejects.toEqual(refusal('DRAINING'));
    expect(one.asked[0]?.chat.idempotencyKey).toBe('');
    expect(two.asked).toHaveLength(0);
  });
});

describe('a caller that leaves', () => {
  it('after the move ends the call that is open then', async () => {
    one.onAsked = (asked) => asked.started().tokens(0, 12).fail(new Fault('DRAINING', 'shutting down'));
    two.onAsked = begin(16);
    for await (const event of mesh.chat(INPUT)) if (event.type === 'delta' && event.seq === 15) break;
    await two.asked[0]?.gone;
  });

  it('after the move by its signal ends the call that is open then', async () => {
    one.onAsked = (asked) => asked.started().tokens(0, 12).fail(new Fault('DRAINING', 'shutting down'));
    two.onAsked = begin(16);
    const leave = new AbortController();
    const reading = read(mesh.chat(INPUT, { signal: leave.signal }), (seq) => seq === 15 && leave.abort());
    await expect(reading).rejects.toEqual(refusal('CANCELLED'));
    await two.asked[0]?.gone;
  });

  it('between two calls is not kept waiting', async () => {
    const leave = new AbortController();
    one.onAsked = (asked) => {
      if (!asked.delivered) asked.started().tokens(0, 12).fail(new Fault('DRAINING', 'shutting down'));
    };
    two.onAsked = (asked) => {
      asked.fail(new Fault('QUEUE_FULL', 'full', { retryAfterMs: 60_000 }));
      setTimeout(() => leave.abort(), 50);
    };
    await expect(mesh.ask(INPUT, { signal: leave.signal })).rejects.toEqual(refusal('CANCELLED'));
    expect(one.asked).toHaveLength(1);
  });
});

describe('feedback', () => {
  const unknown = () => {
    throw new Fault('REQUEST_UNKNOWN', 'not here');
  };

  it('goes to the router that finished the answer, by the id that one knows it by', async () => {
    one.onAsked = (asked) => asked.started().tokens(0, 12).fail(new Fault('DRAINING', 'shutting down'));
    const { started } = await mesh.ask(INPUT);
    expect(started.requestId).toBe('one-1');
    one.onFeedback = unknown;
    two.onFeedback = (id) => (id === 'two-1' ? 0.5 : unknown());
    expect(await mesh.feedback(started.requestId, { rating: 1 })).toBe(0.5);
  });

  it('on an answer of another connection is taken by whoever knows it', async () => {
    one.onFeedback = unknown;
    two.onFeedback = (id) => (id === 'elsewhere' ? 0.25 : unknown());
    expect(await mesh.feedback('elsewhere', { rating: 1 })).toBe(0.25);
    await expect(mesh.feedback('nowhere', { rating: 1 })).rejects.toEqual(refusal('REQUEST_UNKNOWN'));
  });
});
