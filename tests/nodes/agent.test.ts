import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Agent } from '../../nodes/agent.ts';
import { expectedModel } from '../../nodes/expected-model.ts';
import { nodeSettings } from '../../nodes/settings.ts';
import { REASONS } from '../../proto/contract/faults.ts';
import { prefixesOf } from '../../proto/contract/prefix.ts';
import type { Ended, Report } from '../../proto/gen/infermesh/v1/link.ts';
import { Hardware, ModelState, NodeState, Role } from '../../proto/gen/infermesh/v1/types.ts';
import { loadOptions } from '../contract/jobs.ts';
import type { NodeStream } from './fake-router.ts';
import { FakeRouter } from './fake-router.ts';
import { CANCELLED, FakeEngine, FakePressure, NO_TIMINGS, servedModel, shelfOf } from './fakes.ts';

const MODEL = servedModel({ slots: 4, prefillTokensPerSecond: 900, decodeTokensPerSecond: 90 });
const EXPECTED = expectedModel(
  { ...loadOptions({ path: '' }).model, name: MODEL.name, digest: 'sha256:ab', tasks: ['story'] },
  { engine: 'llama-cpp', slots: 4 },
);
const GPU_USE = { use: 0.5, memoryUsedBytes: 2 ** 30, temperature: 61, power: 120.5 };
const { NODE_STATE_LOADING, NODE_STATE_SERVING, NODE_STATE_RECOVERING } = NodeState;

let engine: FakeEngine;
let agent: Agent;
let pressure: FakePressure;
let routers: FakeRouter[];
let streams: NodeStream[];
let samples: number;

/** So many attempts that ended with a failure, of one stream. */
async function refusalsOf(stream: NodeStream, count: number): Promise<Ended[]> {
  const refused: Ended[] = [];
  while (refused.length < count) {
    const { ended } = await stream.next('progress', (progress) => progress.ended.length > 0);
    refused.push(...ended.filter(({ outcome }) => outcome?.$case === 'failure'));
  }
  return refused;
}

/** Two routers, and a node that serves both. */
beforeEach(async () => {
  routers = [await FakeRouter.start(), await FakeRouter.start()];
  engine = new FakeEngine();
  pressure = new FakePressure();
  samples = 0;
  const join = routers.map(({ address }) => address).join(',');
  agent = new Agent({
    id: 'n',
    settings: nodeSettings({ flags: { join, tokenFile: 'unread', model: MODEL.name, drainMs: 0 } }),
    token: 'a-join-token-for-tests-only',
    tls: undefined,
    version: '0',
    hardware: Hardware.fromPartial({}),
    shelf: shelfOf(engine, EXPECTED),
    usage: { sample: () => ({ cpuUse: 1 / ++samples, memoryUsedBytes: 1 }) },
    gpus: { uses: [GPU_USE] },
    pressure,
    observer: { watch: () => ({ tell() {} }) },
    tell() {},
  });
  streams = await Promise.all(routers.map((router) => router.attached()));
  for (const stream of streams) stream.welcome();
});
afterEach(async () => {
  await agent.close();
  await Promise.all(routers.map((router) => router[Symbol.asyncDispose]()));
});

it('tells all routers of a round the same use of the machine, sampled once', async () => {
  for (const stream of streams) await stream.next('report');
  const before = samples;
  const [one, other] = await Promise.all(streams.map((stream) => stream.next('report')));
  expect(samples).toBe(before + 1);
  expect(one?.cpuUse).toBe(1 / samples);
  expect(other?.cpuUse).toBe(1 / samples);
});

it('tells what its GPUs do and how full memory is, and at once when it gives something up for that', async () => {
  const [one, other] = streams as [NodeStream, NodeStream];
  expect(await one.next('report')).toMatchObject({ gpus: [GPU_USE], pressure: { use: 0.5, steps: [] } });
  pressure.shed();
  for (const stream of [one, other]) {
    const report = await stream.next('report', (each) => each.pressure?.use === 0.97);
    expect(report.pressure).toEqual(pressure.report);
  }
});

it('takes nothing new but canaries while memory is too short, and goes on with what it has', async () => {
  engine.become({ type: 'ready', model: MODEL });
  const [stream] = streams as [NodeStream];
  stream.work({ request: 1, model: MODEL.name });
  await vi.waitFor(() => expect(engine.jobs).toHaveLength(1));
  pressure.shed();
  stream.work({ request: 2, model: MODEL.name });
  const [refused] = await refusalsOf(stream, 1);
  expect(refused).toMatchObject({ request: 2, outcome: { value: { reason: 'NO_ROOM' } } });
  stream.work({ request: 3, model: MODEL.name, canary: true });
  await vi.waitFor(() => expect(engine.jobs).toHaveLength(2));
  expect(engine.jobs[0]?.asked).toEqual([]);
});

it('tells the other routers at once that work took a slot, and that it is free again', async () => {
  engine.become({ type: 'ready', model: MODEL });
  const [busy, other] = streams as [NodeStream, NodeStream];
  // By itself a report would come each 10 s.
  const value = { routerId: 'patient', reportIntervalMs: 10_000 };
  for (const stream of streams) stream.send({ $case: 'welcome', value });
  await other.next('report', ({ loads }) => loads[0]?.freeSlots === 4);
  const startedAt = performance.now();
  busy.work({ model: MODEL.name });
  await other.next('report', ({ loads }) => loads[0]?.freeSlots === 3);
  const [job] = engine.jobs;
  job?.sink.prefilling(0);
  job?.sink.end(CANCELLED, 0, NO_TIMINGS);
  await other.next('report', ({ loads }) => loads[0]?.freeSlots === 4);
  expect(performance.now() - startedAt).toBeLessThan(8000);
});

it('counts what runs for a stream that is lost as taken, also towards the router that lost it', async () => {
  engine.become({ type: 'ready', model: MODEL });
  const [stream] = streams as [NodeStream];
  stream.work({ model: MODEL.name });
  await vi.waitFor(() => expect(engine.jobs).toHaveLength(1));
  stream.end();
  const again = await routers[0]!.attached();
  again.welcome();
  await again.next('report', ({ loads }) => loads[0]?.freeSlots === 3);
  engine.jobs[0]?.sink.end(CANCELLED, 0, NO_TIMINGS);
  await again.next('report', ({ loads }) => loads[0]?.freeSlots === 4);
});

it('lets two routers that know nothing of each other fill its slots and a short queue, and refuses the rest at once', async () => {
  engine.become({ type: 'ready', model: MODEL });
  const [one, other] = streams as [NodeStream, NodeStream];
  // Each believes that all four slots are free.
  await Promise.all(streams.map((stream) => stream.next('report', ({ loads }) => loads[0]?.freeSlots === 4)));
  for (const request of [1, 2, 3, 4]) one.work({ request, model: MODEL.name });
  await vi.waitFor(() => expect(engine.jobs).toHaveLength(4));
  for (const request of [1, 2, 3, 4]) other.work({ request, model: MODEL.name });
  const full = { outcome: { value: { reason: 'QUEUE_FULL', code: REASONS.QUEUE_FULL.code } } };
  expect(await refusalsOf(other, 3)).toMatchObject([full, full, full]);
  expect(engine.jobs).toHaveLength(5);
  // Each then sees what the other took.
  await one.next('report', ({ loads }) => loads[0]?.freeSlots === 3);
  await other.next('report', ({ loads }) => loads[0]?.freeSlots === 0);
  for (const { sink } of engine.jobs) sink.end(CANCELLED, 0, NO_TIMINGS);
  await Promise.all(streams.map((stream) => stream.next('report', ({ loads }) => loads[0]?.freeSlots === 4)));
  one.work({ request: 9, model: MODEL.name });
  await vi.waitFor(() => expect(engine.jobs).toHaveLength(6));
});

it('reports as often as a router asks for', async () => {
  streams[0]!.send({ $case: 'welcome', value: { routerId: 'eager', reportIntervalMs: 100 } });
  await streams[1]!.next('report');
  const startedAt = performance.now();
  for (let reports = 0; reports < 10; reports++) await streams[1]!.next('report');
  // Nine seconds at the pace of those that ask for nothing.
  expect(performance.now() - startedAt).toBeLessThan(8000);
});

describe('a node that a router asks to leave', () => {
  const running = async () => {
    engine.become({ type: 'ready', model: MODEL });
    const [one, other] = streams as [NodeStream, NodeStream];
    one.work({ request: 1, model: MODEL.name });
    other.work({ request: 2, model: MODEL.name });
    await vi.waitFor(() => expect(engine.jobs).toHaveLength(2));
    return { one, other, jobs: engine.jobs };
  };
  const draining = ({ state }: Report) => state === NodeState.NODE_STATE_DRAINING;

  it('says so to all routers, refuses what is new, lets what runs finish, and is gone', async () => {
    const { one, other, jobs } = await running();
    one.send({ $case: 'drain', value: { limitMs: 60_000 } });
    await Promise.all([one, other].map((stream) => stream.next('report', draining)));
    expect(agent.leaving).toBe(true);
    other.work({ request: 3, model: MODEL.name });
    expect(await refusalsOf(other, 1)).toMatchObject([{ request: 3, outcome: { value: { reason: 'DRAINING' } } }]);
    for (const { sink, asked } of jobs) {
      expect(asked).toEqual([]);
      sink.end({ type: 'finish', reason: 1, usage: { inputTokens: 1, outputTokens: 0, cachedInputTokens: 0 } }, 0, NO_TIMINGS);
    }
    await one.next('progress', ({ ended }) => ended[0]?.outcome?.$case === 'finish');
    await agent.left;
    expect(engine.state).toEqual({ type: 'disposed' });
  });

  it('hands back to each router what is left at the limit, and waits for no engine', async () => {
    const { one, other, jobs } = await running();
    one.send({ $case: 'drain', value: { limitMs: 0 } });
    const ends = await Promise.all([one, other].map((stream) => refusalsOf(stream, 1)));
    expect(ends).toMatchObject([
      [{ request: 1, outcome: { value: { reason: 'DRAINING', code: REASONS.DRAINING.code } } }],
      [{ request: 2, outcome: { value: { reason: 'DRAINING' } } }],
    ]);
    expect(jobs.map(({ asked }) => asked)).toEqual([['cancel'], ['cancel']]);
    await agent.left;
  });

  it('takes the shorter of two limits', async () => {
    const { one, other } = await running();
    one.send({ $case: 'drain', value: { limitMs: 3_600_000 } });
    await other.next('report', draining);
    other.send({ $case: 'drain', value: { limitMs: 0 } });
    await agent.left;
  });
});

describe('what a node announces', () => {
  it('is what it knows of its model while that is loading, then what the engine measured', async () => {
    const [stream] = streams as [NodeStream];
    const known = { name: MODEL.name, digest: 'sha256:ab', engine: 'llama-cpp', tasks: ['story'], slots: 4, contextLength: 512 };
    const unmeasured = { prefillTokensPerSecond: 0, decodeTokensPerSecond: 0, structuredOutput: true };
    expect(await stream.next('inventory')).toMatchObject({ models: [{ ...known, ...unmeasured }] });
    const load = { model: MODEL.name, freeSlots: 4 };
    expect(await stream.next('report')).toMatchObject({ state: NODE_STATE_LOADING, loads: [load] });
    engine.become({ type: 'ready', model: MODEL });
    expect(await stream.next('inventory')).toEqual({ models: [MODEL] });
    expect(await stream.next('report')).toMatchObject({ state: NODE_STATE_SERVING, loads: [load] });
  });

  it('is still its model when the engine has crashed and is being started again', async () => {
    engine.become({ type: 'ready', model: MODEL });
    engine.become({ type: 'crashed', message: 'SIGKILL', restartInMs: 9 });
    const [stream] = streams as [NodeStream];
    const recovering = { state: NODE_STATE_RECOVERING, loads: [{ model: MODEL.name }] };
    expect(await stream.next('report', ({ state }) => state === NODE_STATE_RECOVERING)).toMatchObject(recovering);
    engine.become({ type: 'loading', fraction: 0.5 });
    stream.end();
    const again = await routers[0]!.attached();
    again.welcome();
    expect(await again.next('inventory')).toEqual({ models: [MODEL] });
    expect(await again.next('report')).toMatchObject(recovering);
  });

  it('can be loaded again when the engine has given up', async () => {
    const [stream] = streams as [NodeStream];
    await stream.next('report', ({ loads }) => loads[0]?.state === ModelState.MODEL_STATE_LOADING);
    engine.become({ type: 'disposed' });
    const [load] = (await stream.next('report', ({ loads }) => loads[0]?.freeSlots === 0)).loads;
    expect(load?.state).toBe(ModelState.MODEL_STATE_LOADABLE);
    stream.work({ model: MODEL.name });
    expect(await refusalsOf(stream, 1)).toMatchObject([{ outcome: { value: { reason: 'DRAINING' } } }]);
  });
});

describe('what its KV cache holds', () => {
  const messages = [{ role: Role.ROLE_USER, text: 'hello' }];
  const held = (text: string) => prefixesOf([...messages, { role: Role.ROLE_ASSISTANT, text }]).map(({ hash }) => hash);

  it('is told to every router once, whoever sent the work, and again when it changes', async () => {
    engine.become({ type: 'ready', model: MODEL });
    const [one, other] = streams as [NodeStream, NodeStream];
    one.work({ model: MODEL.name, messages });
    await one.next('report', ({ loads }) => loads[0]?.running === 1);
    const [job] = engine.jobs;
    job?.sink.prefilling(0);
    job?.sink.delta(0, 1, 'hi');
    job?.sink.end({ type: 'finish', reason: 1, usage: { inputTokens: 1, outputTokens: 1, cachedInputTokens: 0 } }, 1, NO_TIMINGS);
    const full = ({ cachedPrefixes: [cached] }: Report) => cached?.model === MODEL.name && cached.hashes.length === 2;
    for (const stream of [one, other]) {
      expect((await stream.next('report', full)).cachedPrefixes[0]?.hashes).toEqual(held('hi'));
      expect((await stream.next('report')).cachedPrefixes).toEqual([]);
    }
    engine.become({ type: 'crashed', message: 'gone', restartInMs: 1 });
    const empty = ({ cachedPrefixes: [cached] }: Report) => cached?.hashes.length === 0;
    await one.next('report', empty);
  });
});
