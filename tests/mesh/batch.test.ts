/** Batches on real processes: what becomes of each item, how many are at work, and what ends them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { credentials, Metadata } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connect } from '../../client/index.ts';
import { replayText } from '../../nodes/backends/replay.ts';
import { Code } from '../../proto/contract/faults.ts';
import type { BatchRequest, BatchResponse } from '../../proto/gen/infermesh/v1/inference.ts';
import { BatchRequest as BatchRequestType, InferenceServiceClient } from '../../proto/gen/infermesh/v1/inference.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import { framed } from '../../proto/transport/framing.ts';
import { digestOfSecret } from '../../proto/transport/join-token.ts';
import { faultOfStatus } from '../../proto/transport/service-error.ts';
import { MOST_HELD_BYTES } from '../../router/batch/batch.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';
import { RawConnection } from './wire.ts';

const KEY = 'imk_a-key-for-tests-only';

let mesh: TestMesh;
let inference: InferenceServiceClient;

beforeAll(async () => {
  mesh = await startMesh({
    nodes: [
      { engine: 'replay', model: 'quick', replay: 'rate=2000', slots: 4 },
      { engine: 'replay', model: 'slow', replay: 'rate=5', slots: 4 },
      { engine: 'replay', model: 'single', replay: 'rate=200', slots: 1 },
      // Ends by itself, so that its answers are kept.
      { engine: 'replay', model: 'ending', replay: 'rate=0,length=2000', slots: 1 },
    ],
  });
  inference = new InferenceServiceClient(mesh.address, credentials.createInsecure());
});
afterEach(() => expectAtRest(mesh));
afterAll(async () => {
  inference.close();
  await mesh[Symbol.asyncDispose]();
});

type Call = ClientDuplexStream<BatchRequest, BatchResponse>;
type Outcomes = Map<string, BatchResponse['outcome']>;

const turn = (text: string) => [{ role: Role.ROLE_USER, text }];

function asking(id: string, model: string, maxTokens = 5, text = id): BatchRequest {
  const chat = { messages: turn(text), target: { $case: 'model', value: model } as const, maxTokens };
  return BatchRequestType.fromPartial({ id, item: { $case: 'chat', value: chat } });
}

/** With a deadline that no slow answer comes near to, unless a test wants one that does. */
const open = (deadlineMs = 3_600_000): Call => inference.batch(new Metadata(), { deadline: Date.now() + deadlineMs });

/** Reads to the end. */
async function outcomesOf(call: Call): Promise<{ readonly outcomes: Outcomes; readonly reason: string }> {
  const outcomes: Outcomes = new Map();
  try {
    for await (const { id, outcome } of call as AsyncIterable<BatchResponse>) {
      outcomes.set(outcomes.has(id) ? `${id} again` : id, outcome);
    }
    return { outcomes, reason: 'OK' };
  } catch (thrown) {
    return { outcomes, reason: faultOfStatus(thrown as never).reason };
  }
}

async function all(requests: readonly BatchRequest[], deadlineMs?: number) {
  const call = open(deadlineMs);
  for (const request of requests) call.write(request);
  call.end();
  return outcomesOf(call);
}

describe('a batch', () => {
  it('answers each item under its id, whole', async () => {
    const ids = Array.from({ length: 50 }, (_, i) => `item-${i}`);
    const { outcomes, reason } = await all(ids.map((id) => asking(id, 'quick', 20)));
    expect(reason).toBe('OK');
    expect([...outcomes.keys()].toSorted()).toEqual(ids.toSorted());
    for (const [id, outcome] of outcomes) {
      if (outcome?.$case !== 'answer') throw new Error(`${id}: ${JSON.stringify(outcome)}`);
      expect(outcome.value.text).toBe(replayText(turn(id), 20));
      expect(outcome.value.started?.model).toBe('quick');
      expect(outcome.value.finished?.usage?.outputTokens).toBe(20);
    }
  });

  it('tells of an item that is wrong under its id, and goes on', async () => {
    const { outcomes, reason } = await all([
      asking('good', 'quick'),
      asking('wrong', 'quick', 999_999),
      asking('unknown', 'nobody-has-it'),
      BatchRequestType.fromPartial({ id: 'empty' }),
      asking('good', 'quick', 7),
      asking('last', 'quick'),
    ]);
    expect(reason).toBe('OK');
    expect(outcomes.get('last')).toMatchObject({ $case: 'answer' });
    expect([outcomes.get('good')?.$case, outcomes.get('good again')?.$case].toSorted()).toEqual(['answer', 'failure']);
    expect(outcomes.get('wrong')).toMatchObject({
      $case: 'failure',
      value: {
        code: Code.INVALID_ARGUMENT,
        reason: 'INVALID_REQUEST',
        message: 'max_tokens must be from 1 to 131072, received 999999',
      },
    });
    expect(outcomes.get('unknown')).toMatchObject({ $case: 'failure', value: { reason: 'MODEL_NOT_FOUND' } });
    expect(outcomes.get('empty')).toMatchObject({ $case: 'failure', value: { reason: 'INVALID_REQUEST' } });
  });

  it('ends with a request that nothing can be told of, when what came before it is done', async () => {
    const { outcomes, reason } = await all([asking('first', 'single'), asking('a b', 'quick'), asking('never', 'quick')]);
    expect(reason).toBe('INVALID_REQUEST');
    expect([...outcomes.keys()]).toEqual(['first']);
    expect(outcomes.get('first')).toMatchObject({ $case: 'answer' });
  });

  it('shares one generation among items that ask the same', async () => {
    const before = await mesh.client.stats();
    const same = Array.from({ length: 20 }, (_, i) => {
      const request = asking(`same-${i}`, 'ending', 4000, 'the same question');
      if (request.item?.$case === 'chat') request.item.value.sampling = { temperature: 0 };
      return request;
    });
    const { outcomes } = await all(same);
    const texts = [...outcomes.values()].map((outcome) => (outcome?.$case === 'answer' ? outcome.value.text : outcome?.$case));
    expect(new Set(texts)).toEqual(new Set([replayText(turn('the same question'), 2000)]));
    expect((await mesh.client.stats()).requestsCached - before.requestsCached).toBe(19);
  });

  it('has more items than may wait for the slots, and none is refused for it', async () => {
    const ids = Array.from({ length: 40 }, (_, i) => `crowd-${i}`);
    const requests = ids.map((id) => asking(id, 'single', 5));
    const { outcomes } = await all([{ ...(requests[0] as BatchRequest), window: 40 }, ...requests.slice(1)]);
    expect([...outcomes.values()].filter((outcome) => outcome?.$case === 'answer')).toHaveLength(40);
  });

  it('embeds as well as it answers, on the way of each call alone', async () => {
    await mesh.addNode({ engine: 'llama-cpp', model: 'all-minilm-l6-v2', slots: 1, id: 'vectors' });
    const embed = (id: string, texts: string[]) =>
      BatchRequestType.fromPartial({ id, item: { $case: 'embed', value: { texts } } });
    const { outcomes } = await all([embed('vectors', ['a fox', 'an owl']), asking('chat', 'quick'), embed('nothing', [])]);
    const [fox] = (await mesh.client.embed(['a fox'])).vectors;
    const made = outcomes.get('vectors');
    if (made?.$case !== 'embed') throw new Error(`vectors: ${JSON.stringify(made)}`);
    expect(made.value.vectors).toHaveLength(2);
    expect(Float32Array.from(made.value.vectors[0]?.values ?? [])).toEqual(fox);
    expect(outcomes.get('chat')).toMatchObject({ $case: 'answer' });
    expect(outcomes.get('nothing')).toMatchObject({
      $case: 'failure',
      value: { message: expect.stringContaining('texts must be 1 to 1,024') },
    });
  });
});

describe('the window', () => {
  const slowNode = async () => (await mesh.client.nodes()).find(({ models }) => models[0]?.name === 'slow');

  it('keeps every slot at work and some in line, and takes no more', async () => {
    const call = open();
    const reading = outcomesOf(call);
    for (let i = 0; i < 50; i++) call.write(asking(`slow-${i}`, 'slow', 1000));
    await expect.poll(async () => (await mesh.client.stats()).requestsOpen, { timeout: 10_000 }).toBe(6);
    expect((await slowNode())?.inFlight).toBe(4);
    call.cancel();
    expect((await reading).reason).toBe('CANCELLED');
  });

  it('is what the first request says', async () => {
    const call = open();
    const reading = outcomesOf(call);
    for (let i = 0; i < 10; i++) call.write({ ...asking(`slow-${i}`, 'slow', 1000), ...(i === 0 ? { window: 2 } : {}) });
    await expect.poll(async () => (await slowNode())?.inFlight, { timeout: 10_000 }).toBe(2);
    expect((await mesh.client.stats()).requestsOpen).toBe(2);
    call.cancel();
    await reading;
  });

  it('leaves a slot to whoever else has asked lately', async () => {
    const leave = new AbortController();
    const other = mesh.client.ask({ messages: 'a person', model: 'slow', maxTokens: 1000 }, { signal: leave.signal });
    const left = expect(other).rejects.toMatchObject({ reason: 'CANCELLED' });
    await expect.poll(async () => (await slowNode())?.inFlight).toBe(1);
    const call = open();
    const reading = outcomesOf(call);
    for (let i = 0; i < 10; i++) call.write(asking(`slow-${i}`, 'slow', 1000));
    await expect.poll(async () => (await slowNode())?.inFlight, { timeout: 10_000 }).toBe(4);
    leave.abort();
    await left;
    await expect.poll(async () => (await slowNode())?.inFlight).toBe(3);
    expect((await mesh.client.stats()).requestsOpen).toBe(3);
    call.cancel();
    await reading;
  });
});

/** Sends as fast as it is let, and reads nothing; each item costs the engine nothing and the router a large outcome. */
function batchThatIsNotRead(wire: RawConnection) {
  const stream = wire.session.request({
    ':method': 'POST',
    ':path': '/infermesh.v1.InferenceService/Batch',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  let written = 0;
  const write = () => {
    while (written < 100_000 && !stream.closed) {
      const request = asking(`unread-${written++}`, 'ending', 4000, 'the same question');
      if (request.item?.$case === 'chat') request.item.value.sampling = { temperature: 0 };
      if (!stream.write(framed(BatchRequestType.encode(request).finish()))) return void stream.once('drain', write);
    }
  };
  write();
  return { written: () => written, close: () => stream.close(8) };
}

/** Resolves when a count is over `least` and no longer grows. */
async function untilStill(count: () => Promise<number>, least: number): Promise<void> {
  let last = -1;
  const isStill = async () => {
    const now = await count();
    const still = now === last && now > least;
    last = now;
    return still;
  };
  await expect.poll(isStill, { timeout: 50_000, interval: 1000 }).toBe(true);
}

describe('a client', () => {
  it('that is gone has everything cancelled, down to the engines', async () => {
    const before = await mesh.client.stats();
    const call = open();
    const reading = outcomesOf(call);
    for (let i = 0; i < 20; i++) call.write(asking(`gone-${i}`, 'slow', 1000));
    await expect.poll(async () => (await mesh.client.stats()).requestsOpen, { timeout: 10_000 }).toBe(6);
    call.cancel();
    await reading;
    await expectAtRest(mesh);
    const { requestsCancelled, requestsFailed } = await mesh.client.stats();
    expect(requestsCancelled - before.requestsCancelled).toBe(6);
    expect(requestsFailed).toBe(before.requestsFailed);
  });

  it('that never reads what becomes of its items is held up, and holds nobody else up', async () => {
    await using wire = new RawConnection(mesh.address, { initialWindowSize: 65_535 });
    const finished = async () => (await mesh.client.stats()).requestsFinished;
    const before = await finished();
    const unread = batchThatIsNotRead(wire);
    await untilStill(finished, before + 100);
    // Of 11 kB each: what waits for its reader, and what is on its way.
    expect((await finished()) - before).toBeLessThan(MOST_HELD_BYTES / 8000);
    expect(unread.written()).toBeLessThan(50_000);
    const beside = await mesh.client.ask({ messages: 'beside it', model: 'quick', maxTokens: 5 });
    expect(beside.finished.usage?.outputTokens).toBe(5);
    unread.close();
  }, 90_000);

  it('whose time is over is told so, and of each item that was at work', async () => {
    const { outcomes, reason } = await all([asking('too-slow', 'slow', 1000)], 1500);
    expect(outcomes.get('too-slow')).toMatchObject({ $case: 'failure', value: { reason: 'DEADLINE_EXCEEDED' } });
    expect(reason).toBe('OK');
    const call = open(1500);
    call.write(asking('open', 'slow', 1000));
    const late = await outcomesOf(call);
    expect(late.reason).toBe('DEADLINE_EXCEEDED');
    expect(late.outcomes.get('open')).toMatchObject({ $case: 'failure', value: { reason: 'DEADLINE_EXCEEDED' } });
  });
});

describe('a node that dies', () => {
  it('in the middle of a batch costs no item its answer', async () => {
    await using pair = await startMesh({
      nodes: ['one', 'two'].map((id) => ({ id, engine: 'replay', model: 'pair', replay: 'rate=100', slots: 4 }) as const),
    });
    const items = Array.from({ length: 60 }, (_, i) => ({ id: `i${i}`, messages: `i${i}`, maxTokens: 20 }));
    const texts = new Map<string, string>();
    for await (const outcome of pair.client.batch(items)) {
      if (outcome.type !== 'answer') throw new Error(`${outcome.id}: ${JSON.stringify(outcome)}`);
      texts.set(outcome.id, outcome.text);
      if (texts.size === 10) pair.nodes[0]?.process.kill('SIGKILL');
    }
    expect(texts).toEqual(new Map(items.map(({ id }) => [id, replayText(turn(id), 20)])));
    await expectAtRest(pair);
  });
});

describe('a router', () => {
  it('that drains lets what is at work end, takes nothing more, and says so', async () => {
    await using one = await startMesh({ nodes: [{ engine: 'replay', model: 'steady', replay: 'rate=20', slots: 2 }] });
    const stub = new InferenceServiceClient(one.address, credentials.createInsecure());
    const call = stub.batch(new Metadata(), { deadline: Date.now() + 30_000 });
    const reading = outcomesOf(call);
    for (let i = 0; i < 20; i++) call.write(asking(`i${i}`, 'steady', 20));
    await expect.poll(async () => (await one.client.stats()).requestsOpen, { timeout: 10_000 }).toBe(3);
    const stopped = one.router.stop();
    const { outcomes, reason } = await reading;
    stub.close();
    await stopped;
    expect(reason).toBe('DRAINING');
    expect([...outcomes.values()].filter((outcome) => outcome?.$case === 'answer').length).toBeGreaterThanOrEqual(2);
    for (const outcome of outcomes.values()) if (outcome?.$case === 'failure') expect(outcome.value.reason).toBe('DRAINING');
  });

  it.each([
    ['is killed', 'SIGKILL'],
    ['drains', 'SIGTERM'],
  ] as const)('that %s leaves the rest to the next one, and every item has one outcome', async (_, signal) => {
    await using two = await startMesh({ nodes: [] });
    const { address } = await two.addRouter();
    await two.addNode({ engine: 'replay', model: 'shared', replay: 'rate=200', slots: 4, flags: ['--join', address] });
    using client = connect([two.address, address]);
    const items = Array.from({ length: 80 }, (_, i) => ({ id: `i${i}`, messages: `i${i}`, maxTokens: 20 }));
    const seen: string[] = [];
    for await (const outcome of client.batch(items)) {
      if (outcome.type !== 'answer') throw new Error(`${outcome.id}: ${JSON.stringify(outcome)}`);
      expect(outcome.text).toBe(replayText(turn(outcome.id), 20));
      seen.push(outcome.id);
      if (seen.length === 20) two.router.process.kill(signal);
    }
    expect(seen.toSorted()).toEqual(items.map(({ id }) => id).toSorted());
  });
});

describe('a tenant', () => {
  it('with a quota has its batch worked off within it, and a stranger has none', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'infermesh-batch-'));
    const tenants = join(folder, 'tenants.yaml');
    writeFileSync(tenants, `tenants: { acme: { role: admin, keys: ["${digestOfSecret(KEY)}"], quotas: { streams: 2 } } }`);
    await using guarded = await startMesh({
      routerFlags: ['--tenants', tenants],
      connect: { apiKey: KEY },
      nodes: [{ engine: 'replay', model: 'canned', replay: 'rate=500', slots: 8 }],
    });
    const items = Array.from({ length: 30 }, (_, i) => ({ id: `i${i}`, messages: `i${i}`, maxTokens: 10 }));
    let answers = 0;
    for await (const { type } of guarded.client.batch(items, { window: 10 })) if (type === 'answer') answers++;
    expect(answers).toBe(30);
    using stranger = connect(guarded.address);
    const refused = stranger.batch(items).next();
    await expect(refused).rejects.toMatchObject({ reason: 'UNAUTHENTICATED' });
    rmSync(folder, { recursive: true });
  });
});
