import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Fault } from '../../proto/contract/faults.ts';
import type { Embed } from '../../proto/gen/infermesh/v1/link.ts';
import { Embedded, Report } from '../../proto/gen/infermesh/v1/link.ts';
import { NodeState, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Embeddings } from '../../router/fleet/embedder.ts';
import { Fleet } from '../../router/fleet/fleet.ts';
import { FleetEmbedder } from '../../router/fleet/fleet-embedder.ts';
import { checkedVectors } from '../../router/fleet/vectors.ts';
import { FakeClock } from '../support/clock.ts';
import type { FakeLink } from './fakes.ts';
import { fakeLink } from './fakes.ts';

const MODEL = { name: 'e', digest: 'sha256:ab', tasks: ['embed'], embeddingDimensions: 2, slots: 4, contextLength: 256 };
const SAME = { name: 'e', digest: 'sha256:ab', dimensions: 2 };

let clock: FakeClock;
let fleet: Fleet;
let embedder: FleetEmbedder;

beforeEach(() => {
  clock = new FakeClock();
  fleet = new Fleet(
    clock,
    () => {},
    () => 0.5,
  );
  embedder = new FleetEmbedder({ fleet, clock });
});
afterEach(() => {
  embedder[Symbol.dispose]();
  fleet.stop();
});

function join(id: string, model: Partial<ServedModel> = {}, state: NodeState = NodeState.NODE_STATE_SERVING): FakeLink {
  const node = fakeLink(id, 1, clock.now());
  fleet.join(node.link, () => {});
  fleet.inventory(node.link, [ServedModel.fromPartial({ ...MODEL, ...model })]);
  fleet.report(node.link, Report.fromPartial({ state }));
  return node;
}

function leave({ link }: FakeLink): void {
  fleet.leave(link, 'disconnected');
  link.close({ reason: 'NODE_LOST', message: 'gone' } as Fault, () => {});
}

/** Keeps what became of a call, and lets the window pass in which others may join it. */
function ask(texts: readonly string[], deadlineMs = 1000, signal?: AbortSignal) {
  const call: { embeddings?: Embeddings; fault?: Fault; done: Promise<void> } = { done: Promise.resolve() };
  call.done = embedder.embed(texts, { deadlineMs, traceparent: '', signal }).then(
    (embeddings) => {
      call.embeddings = embeddings;
    },
    (fault: Fault) => {
      call.fault = fault;
    },
  );
  return call;
}

function asked(texts: readonly string[], deadlineMs?: number) {
  const call = ask(texts, deadlineMs);
  clock.advance(2);
  return call;
}

/** A vector that tells the text. */
const vector = (text: string) => ({ values: [Math.cos(text.length), Math.sin(text.length)] });
const answer = ({ link }: FakeLink, { request, texts }: Embed, more: Partial<Embedded> = {}) =>
  link.embedded(Embedded.fromPartial({ request, vectors: texts.map(vector), ...more }));
const failed = (reason: string) => ({ vectors: [], failure: { code: 14, reason, message: 'no', retryAfterMs: 0 } });
const cancelled = ({ frames }: FakeLink) => frames('cancelEmbed').map(({ request }) => request);
const last = ({ frames }: FakeLink) => frames('embed').at(-1) as Embed;

describe('the embedding model', () => {
  it('is there as soon as a node serves one, and stays while a node with it is here, whatever its state', () => {
    expect(embedder.model).toBeUndefined();
    const first = join('a', { name: 'm' });
    join('b', { name: 'b' });
    expect(embedder.model).toMatchObject({ name: 'b' });
    leave(first);
    join('c', { name: 'a' });
    expect(embedder.model).toMatchObject({ name: 'b' });
    fleet.report(fleet.get('b')!, Report.fromPartial({ state: NodeState.NODE_STATE_RECOVERING }));
    expect(embedder.model).toMatchObject({ name: 'b' });
    fleet.leave(fleet.get('b')!, 'goodbye');
    expect(embedder.model).toMatchObject({ name: 'a' });
  });

  it('is one that a node serves, where others are still to come', () => {
    join('a', { name: 'a' }, NodeState.NODE_STATE_LOADING);
    join('b', { name: 'b' });
    expect(embedder.model).toMatchObject({ name: 'b' });
  });

  it('is never one that answers, nor one that has not said of how many numbers its vectors are', () => {
    join('a', { tasks: [] });
    join('b', { tasks: ['embed', 'chat'] });
    join('c', { embeddingDimensions: 0 });
    expect(embedder.model).toBeUndefined();
  });

  it('is told apart from others of its name by its weights and the size of its vectors', async () => {
    const nodes = [join('a'), join('b', { digest: 'sha256:cd' }), join('c', { embeddingDimensions: 3 })] as const;
    expect(embedder.model).toEqual(SAME);
    for (let i = 0; i < 3; i++) asked(['x']);
    expect(nodes.map(({ frames }) => frames('embed').length)).toEqual([3, 0, 0]);
  });
});

describe('texts', () => {
  it('come back as vectors in their order, with the model that made them', async () => {
    const node = join('a');
    const call = asked(['one', 'three']);
    answer(node, last(node));
    await call.done;
    expect(call.embeddings?.model).toEqual(SAME);
    const [one, three] = call.embeddings?.vectors ?? [];
    expect([...one!].map((value) => value.toFixed(4))).toEqual(vector('one').values.map((value) => value.toFixed(4)));
    expect([...three!].map((value) => value.toFixed(4))).toEqual(vector('three').values.map((value) => value.toFixed(4)));
  });

  it('of calls that come close together go out in one embed, with the longest deadline of them', async () => {
    const node = join('a');
    const calls = [ask(['a'], 500), ask(['bb', 'ccc'], 900)];
    clock.advance(2);
    expect(node.frames('embed')).toMatchObject([{ request: 1, model: 'e', texts: ['a', 'bb', 'ccc'], deadlineMs: 898 }]);
    answer(node, last(node));
    await Promise.all(calls.map(({ done }) => done));
    expect(calls.map(({ embeddings }) => embeddings?.vectors.length)).toEqual([1, 2]);
  });

  it('go to the node with the fewest embeds, 64 in each, and wait where all nodes have as many as they take', async () => {
    const [a, b] = [join('a', { slots: 1 }), join('b', { slots: 1 })] as const;
    const calls = Array.from({ length: 5 }, (_, i) => ask(Array.from({ length: 32 }, (_, k) => `${i}.${k}`)));
    clock.advance(2);
    expect([a, b].map(({ frames }) => frames('embed').map(({ texts }) => texts.length))).toEqual([[64], [64]]);
    answer(b, last(b));
    expect(b.frames('embed').map(({ texts }) => texts.length)).toEqual([64, 32]);
    answer(b, last(b));
    answer(a, last(a));
    await Promise.all(calls.map(({ done }) => done));
    expect(calls.map(({ fault }) => fault)).toEqual(calls.map(() => undefined));
  });

  it('that wait go out when a node joins', async () => {
    const a = join('a', { slots: 1 });
    asked(['x']);
    const call = asked(['y']);
    const b = join('b', { slots: 1 });
    clock.advance(2);
    answer(b, last(b));
    await call.done;
    expect(call.embeddings).toBeDefined();
    expect(a.frames('embed')).toHaveLength(1);
  });

  it('are refused where there are none, or more than 64', async () => {
    join('a');
    for (const texts of [[], Array.from({ length: 65 }, () => 'x')]) {
      const call = asked(texts);
      await call.done;
      expect(call.fault).toMatchObject({ reason: 'INVALID_REQUEST', message: `texts must be 1 to 64, received ${texts.length}` });
    }
  });

  it('are refused where nobody makes vectors, or nobody now', async () => {
    const none = asked(['x']);
    join('a', {}, NodeState.NODE_STATE_LOADING);
    const loading = asked(['x']);
    await Promise.all([none.done, loading.done]);
    expect([none.fault?.reason, loading.fault?.reason]).toEqual(['NO_NODE', 'NO_NODE']);
  });

  it('are refused once 1,024 wait', async () => {
    join('a', { slots: 1 });
    asked(['x']);
    const texts = Array.from({ length: 64 }, () => 'x');
    for (let i = 0; i < 16; i++) asked(texts);
    const call = asked(['x']);
    await call.done;
    expect(call.fault?.reason).toBe('QUEUE_FULL');
  });

  it('are cut to what fits into a frame, and half a surrogate pair is not sent', () => {
    const node = join('a');
    asked([`${'x'.repeat(16_383)}🐉`]);
    expect(last(node).texts[0]).toBe(`${'x'.repeat(16_383)}\ufffd`);
  });
});

describe('a node that fails', () => {
  it.each(['lost', 'failed'])('%s: another one is asked once', async (how) => {
    const [a, b] = [join('a'), join('b')] as const;
    const call = asked(['x']);
    if (how === 'lost') leave(a);
    else answer(a, last(a), failed('ENGINE_CRASHED'));
    answer(b, last(b));
    await call.done;
    expect(call.embeddings?.vectors).toHaveLength(1);
  });

  it('twice ends the call with what the second one said', async () => {
    const nodes = [join('a'), join('b'), join('c')] as const;
    const call = asked(['x']);
    answer(nodes[0], last(nodes[0]), failed('ENGINE_CRASHED'));
    answer(nodes[1], last(nodes[1]), failed('ENGINE_FAILED'));
    await call.done;
    expect(call.fault?.reason).toBe('ENGINE_FAILED');
    expect(nodes[2].frames('embed')).toEqual([]);
  });

  it('and has cancelled what nobody cancelled, is lost', async () => {
    const node = join('a');
    const call = asked(['x']);
    answer(node, last(node), failed('CANCELLED'));
    await call.done;
    expect(call.fault?.reason).toBe('NODE_LOST');
  });

  it('rests, longer each time, and is as good as new once it has answered', async () => {
    const node = join('a');
    for (const restMs of [1000, 2000, 4000]) {
      asked(['x']);
      answer(node, last(node), failed('ENGINE_FAILED'));
      clock.advance(restMs - 1);
      fleet.heard(node.link);
      const early = ask(['x']);
      await early.done;
      expect(early.fault?.reason).toBe('NO_NODE');
      clock.advance(1);
    }
    const call = asked(['x']);
    answer(node, last(node));
    await call.done;
    expect(call.embeddings).toBeDefined();
    asked(['x']);
    answer(node, last(node), failed('ENGINE_FAILED'));
    clock.advance(1000);
    fleet.heard(node.link);
    asked(['x']);
    expect(node.frames('embed')).toHaveLength(6);
  });

  it('to have room is asked again at once', async () => {
    const node = join('a');
    const call = asked(['x']);
    answer(node, last(node), failed('QUEUE_FULL'));
    await call.done;
    expect(call.fault?.reason).toBe('QUEUE_FULL');
    asked(['x']);
    expect(node.frames('embed')).toHaveLength(2);
  });

  it('to answer in time ends each call at its own deadline, and rests until it answers', async () => {
    const node = join('a');
    const [short, long] = [ask(['x'], 100), ask(['y'], 200)];
    clock.advance(100);
    await short.done;
    expect(short.fault?.reason).toBe('DEADLINE_EXCEEDED');
    expect(long.fault).toBeUndefined();
    clock.advance(100);
    const next = ask(['z']);
    await Promise.all([long.done, next.done]);
    expect([long.fault?.reason, next.fault?.reason]).toEqual(['DEADLINE_EXCEEDED', 'NO_NODE']);
    answer(node, last(node));
    asked(['z']);
    expect(node.frames('embed')).toHaveLength(2);
  });

  it('because its engine takes no more for now is left alone for so long, and callers hear when to come back', async () => {
    const node = join('a');
    const call = asked(['x']);
    const enough = { code: 8, reason: 'QUEUE_FULL', message: 'enough', retryAfterMs: 1500 };
    answer(node, last(node), { vectors: [], failure: enough });
    await call.done;
    expect(call.fault).toMatchObject({ reason: 'QUEUE_FULL', retryAfterMs: 1500 });
    clock.advance(500);
    const early = ask(['x']);
    await early.done;
    expect(early.fault).toMatchObject({ reason: 'NO_NODE', retryAfterMs: 1000 });
    clock.advance(1000);
    asked(['x']);
    expect(node.frames('embed')).toHaveLength(2);
  });

  it('ever to answer is waited for no longer than 10 s beyond the deadline', () => {
    const node = join('a', { slots: 1 });
    asked(['x'], 100);
    clock.advance(1200);
    fleet.heard(node.link);
    asked(['y'], 60_000);
    expect(node.frames('embed')).toHaveLength(1);
    for (let i = 0; i < 10; i++) {
      clock.advance(1000);
      fleet.heard(node.link);
    }
    expect(node.frames('embed')).toHaveLength(2);
  });
});

describe('texts that nobody waits for any more', () => {
  it('are cancelled at their node when the last caller has left, which is no failure of the node', async () => {
    const node = join('a', { slots: 1 });
    const leave = [new AbortController(), new AbortController()] as const;
    const calls = leave.map(({ signal }) => ask(['x'], 60_000, signal));
    clock.advance(2);
    leave[0].abort();
    expect(cancelled(node)).toEqual([]);
    leave[1].abort();
    await Promise.all(calls.map(({ done }) => done));
    expect(calls.map(({ fault }) => fault?.reason)).toEqual(['CANCELLED', 'CANCELLED']);
    expect(cancelled(node)).toEqual([last(node).request]);
    // Its slot is taken until its engine has stopped.
    asked(['y']);
    expect(node.frames('embed')).toHaveLength(1);
    answer(node, last(node), failed('CANCELLED'));
    expect(node.frames('embed')).toMatchObject([{ texts: ['x', 'x'] }, { texts: ['y'] }]);
  });

  it('because the deadline has passed are cancelled too', () => {
    const node = join('a');
    asked(['x'], 100);
    clock.advance(100);
    expect(cancelled(node)).toEqual([last(node).request]);
  });

  it('are not sent, nor sent again to another node', async () => {
    const [a, b] = [join('a'), join('b')] as const;
    const leave = new AbortController();
    const [gone, going] = [ask(['x'], 1000, AbortSignal.abort()), ask(['y'], 1000, leave.signal)];
    clock.advance(2);
    leave.abort();
    answer(a, last(a), failed('ENGINE_CRASHED'));
    await Promise.all([gone.done, going.done]);
    expect(a.frames('embed').map(({ texts }) => texts)).toEqual([['y']]);
    expect(b.frames('embed')).toEqual([]);
  });

  it('are waited for no longer than 10 s at a node that does not stop', async () => {
    const node = join('a', { slots: 1 });
    const leave = new AbortController();
    asked(['x'], 60_000);
    const [first] = node.frames('embed');
    answer(node, first as Embed);
    const call = ask(['x'], 60_000, leave.signal);
    clock.advance(2);
    leave.abort();
    await call.done;
    for (let i = 0; i < 10; i++) {
      clock.advance(1000);
      fleet.heard(node.link);
    }
    const after = ask(['y']);
    await after.done;
    expect(after.fault?.reason).toBe('NO_NODE');
    clock.advance(1000);
    fleet.heard(node.link);
    asked(['z']);
    expect(last(node).texts).toEqual(['z']);
  });
});

describe('a node that lies', () => {
  const claims: readonly [string, readonly number[][]][] = [
    ['no vectors', []],
    [
      'one too many',
      [
        [1, 0],
        [0, 1],
        [1, 0],
      ],
    ],
    [
      'vectors of another size',
      [
        [1, 0],
        [1, 0, 0],
      ],
    ],
    ['a vector of nothing', [[1, 0], []]],
    [
      'NaN',
      [
        [1, 0],
        [Number.NaN, 0],
      ],
    ],
    [
      'infinity',
      [
        [1, 0],
        [Number.POSITIVE_INFINITY, 0],
      ],
    ],
    [
      'a vector that is too long',
      [
        [1, 0],
        [1, 1],
      ],
    ],
    [
      'a vector of zeros',
      [
        [1, 0],
        [0, 0],
      ],
    ],
  ];
  it.each(claims)('and sends %s has failed', async (_, vectors) => {
    const node = join('a');
    const call = asked(['x', 'y']);
    answer(node, last(node), { vectors: vectors.map((values) => ({ values })) });
    await call.done;
    expect(call.fault).toMatchObject({ reason: 'ENGINE_FAILED' });
    const next = ask(['z']);
    await next.done;
    expect(next.fault?.reason).toBe('NO_NODE');
  });

  it('and answers what nobody asked, or one thing twice, changes nothing', async () => {
    const node = join('a');
    answer(node, { request: 99, model: 'e', texts: ['x'], deadlineMs: 1, traceparent: '' });
    const call = asked(['x']);
    answer(node, last(node));
    answer(node, last(node));
    await call.done;
    expect(call.embeddings?.vectors).toHaveLength(1);
  });

  it('and claims endless slots is given four embeds at a time', () => {
    const node = join('a', { slots: 1e9 });
    for (let i = 0; i < 9; i++) asked(['x']);
    expect(node.frames('embed')).toHaveLength(4);
  });

  it('and claims vectors without end has its claim clamped', () => {
    join('a', { embeddingDimensions: 1e9 });
    expect(embedder.model?.dimensions).toBe(16_384);
  });

  it('can make no vector that is not of length 1', () => {
    const values = fc.array(fc.double(), { maxLength: 8 });
    fc.assert(
      fc.property(fc.array(values, { maxLength: 3 }), fc.nat(8), (vectors, dimensions) => {
        const checked = checkedVectors({ vectors: vectors.map((values) => ({ values })) }, vectors.length, dimensions);
        if (typeof checked === 'string') return;
        for (const vector of checked) {
          expect(vector).toHaveLength(dimensions);
          expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
        }
      }),
    );
  });
});

it('leaves no timer behind, and refuses what waits and what comes, once it is disposed', async () => {
  const node = join('a', { slots: 1 });
  const idle = clock.pending;
  const sent = asked(['x']);
  const waiting = asked(['y']);
  embedder[Symbol.dispose]();
  await waiting.done;
  const after = ask(['z']);
  leave(node);
  await Promise.all([sent.done, after.done]);
  expect([sent, waiting, after].map(({ fault }) => fault?.reason)).toEqual(['NODE_LOST', 'DRAINING', 'DRAINING']);
  expect(clock.pending).toBe(idle);
});
