import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Agent } from '../../nodes/agent.ts';
import { expectedModel } from '../../nodes/expected-model.ts';
import { nodeSettings } from '../../nodes/settings.ts';
import { prefixesOf } from '../../proto/contract/prefix.ts';
import type { Report } from '../../proto/gen/infermesh/v1/link.ts';
import { Hardware, NodeState, Role } from '../../proto/gen/infermesh/v1/types.ts';
import { loadOptions } from '../contract/jobs.ts';
import type { NodeStream } from './fake-router.ts';
import { FakeRouter } from './fake-router.ts';
import { CANCELLED, FakeEngine, NO_TIMINGS, servedModel } from './fakes.ts';

const MODEL = servedModel({ slots: 4, prefillTokensPerSecond: 900, decodeTokensPerSecond: 90 });
const EXPECTED = expectedModel(
  { ...loadOptions({ path: '' }).model, name: MODEL.name, digest: 'sha256:ab', tasks: ['story'] },
  { engine: 'llama-cpp', slots: 4 },
);
const { NODE_STATE_LOADING, NODE_STATE_SERVING, NODE_STATE_RECOVERING } = NodeState;

let engine: FakeEngine;
let agent: Agent;
let routers: FakeRouter[];
let streams: NodeStream[];
let samples: number;

/** Two routers, and a node that serves both. */
beforeEach(async () => {
  routers = [await FakeRouter.start(), await FakeRouter.start()];
  engine = new FakeEngine();
  samples = 0;
  const join = routers.map(({ address }) => address).join(',');
  agent = new Agent({
    id: 'n',
    settings: nodeSettings({ flags: { join, tokenFile: 'unread', model: MODEL.name, drainMs: 0 } }),
    token: 'a-join-token-for-tests-only',
    tls: undefined,
    version: '0',
    hardware: Hardware.fromPartial({}),
    engine,
    expected: EXPECTED,
    usage: { sample: () => ({ cpuUse: 1 / ++samples, memoryUsedBytes: 1 }) },
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

it('tells the other routers at once that work took a slot, and that it is free again', async () => {
  engine.become({ type: 'ready', model: MODEL });
  const [busy, other] = streams as [NodeStream, NodeStream];
  await other.next('report', ({ loads }) => loads[0]?.freeSlots === 4);
  const startedAt = performance.now();
  busy.work({ model: MODEL.name });
  await other.next('report', ({ loads }) => loads[0]?.freeSlots === 3);
  expect(performance.now() - startedAt).toBeLessThan(500);
  const [job] = engine.jobs;
  job?.sink.prefilling(0);
  job?.sink.end(CANCELLED, 0, NO_TIMINGS);
  await other.next('report', ({ loads }) => loads[0]?.freeSlots === 4);
  expect(performance.now() - startedAt).toBeLessThan(900);
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

  it('is nothing when the engine has given up', async () => {
    const [stream] = streams as [NodeStream];
    await stream.next('inventory', ({ models }) => models.length === 1);
    engine.become({ type: 'disposed' });
    expect(await stream.next('inventory')).toEqual({ models: [] });
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
