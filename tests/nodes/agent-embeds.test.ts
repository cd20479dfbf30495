/** What a node makes of embeds: two routers that do what the test says, and an engine that does so too. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Agent } from '../../nodes/agent.ts';
import { nodeSettings } from '../../nodes/settings.ts';
import { Hardware, NodeState } from '../../proto/gen/infermesh/v1/types.ts';
import type { WorkEvent, WorkFacts } from '../../telemetry/events.ts';
import type { NodeStream } from './fake-router.ts';
import { FakeRouter } from './fake-router.ts';
import { FakeEngine, FakePressure, servedModel, shelfOf } from './fakes.ts';

const MODEL = servedModel({ slots: 2, tasks: ['embed'], embeddingDimensions: 2 });
const VECTORS = { type: 'vectors', vectors: [Float32Array.of(0.6, 0.8)], inputTokens: 3 } as const;

let engine: FakeEngine;
let agent: Agent;
let pressure: FakePressure;
let routers: FakeRouter[];
let one: NodeStream;
let other: NodeStream;
/** Of each embed or work what was told of it: its facts, then the events. */
let watched: (WorkFacts | WorkEvent)[][];

beforeEach(async () => {
  routers = [await FakeRouter.start(), await FakeRouter.start()];
  engine = new FakeEngine();
  pressure = new FakePressure();
  watched = [];
  const join = routers.map(({ address }) => address).join(',');
  agent = new Agent({
    id: 'n',
    settings: nodeSettings({ flags: { join, tokenFile: 'unread', model: MODEL.name, drainMs: 60_000 } }),
    token: 'a-join-token-for-tests-only',
    tls: undefined,
    version: '0',
    hardware: Hardware.fromPartial({}),
    shelf: shelfOf(engine, MODEL),
    usage: { sample: () => ({ cpuUse: 0, memoryUsedBytes: 1 }) },
    gpus: { uses: [] },
    pressure,
    observer: {
      watch: (facts) => {
        watched.push([facts]);
        const events = watched.at(-1)!;
        return { tell: (event) => events.push(event) };
      },
    },
    tell() {},
  });
  [one, other] = (await Promise.all(routers.map((router) => router.attached()))) as [NodeStream, NodeStream];
  for (const stream of [one, other]) stream.welcome();
  engine.become({ type: 'ready', model: MODEL });
});
afterEach(async () => {
  await agent.leave(0);
  await Promise.all(routers.map((router) => router[Symbol.asyncDispose]()));
});

/** Sends an embed that is not refused; resolves with what the engine was given. */
async function embeds(stream: NodeStream, request = 1, deadlineMs = 60_000) {
  const before = engine.embeds.length;
  stream.embed({ request, texts: ['a', 'b'], deadlineMs });
  await vi.waitFor(() => expect(engine.embeds.length).toBe(before + 1));
  return engine.embeds[before]!;
}

it('tells which vectors it makes, and answers an embed with them', async () => {
  const { models } = await one.next('inventory', ({ models }) => models.length > 0);
  expect(models[0]).toMatchObject({ tasks: ['embed'], embeddingDimensions: 2 });
  const embed = await embeds(one, 7);
  expect(embed.texts).toEqual(['a', 'b']);
  embed.end(VECTORS);
  const embedded = await one.next('embedded');
  expect(embedded).toMatchObject({ request: 7, inputTokens: 3, failure: undefined });
  expect(embedded.vectors[0]?.values.map((value) => value.toFixed(3))).toEqual(['0.600', '0.800']);
});

it('hands on why an engine made none', async () => {
  (await embeds(one)).end({ type: 'failure', reason: 'ENGINE_CRASHED', message: 'it died' });
  expect(await one.next('embedded')).toMatchObject({
    vectors: [],
    failure: { code: 14, reason: 'ENGINE_CRASHED', message: 'it died' },
  });
});

it('tells of each embed as a part of its trace', async () => {
  one.embed({ request: 7, traceparent: '00-1-2-01' });
  await vi.waitFor(() => expect(engine.embeds).toHaveLength(1));
  engine.embeds[0]?.end(VECTORS);
  await one.next('embedded');
  one.embed({ request: 8, model: 'other' });
  await one.next('embedded');
  const timings = { queueMs: 0, prefillMs: expect.any(Number), decodeMs: 0 };
  const usage = { inputTokens: 3, outputTokens: 0, cachedInputTokens: 0 };
  expect(watched).toEqual([
    [
      { node: 'n', model: 'm', request: 7, epoch: 1, traceparent: '00-1-2-01', operation: 'embeddings' },
      { type: 'prefilling' },
      { type: 'ended', outcome: 'finished', usage, tokens: 0, timings },
    ],
    [
      { node: 'n', model: 'other', request: 8, epoch: 1, traceparent: '', operation: 'embeddings' },
      { type: 'ended', outcome: 'failed', reason: 'MODEL_NOT_FOUND', tokens: 0, timings },
    ],
  ]);
});

it.each([
  ['no texts', { texts: [] }, /1 to 64, received 0/],
  ['65 texts', { texts: Array.from({ length: 65 }, () => 'x') }, /1 to 64, received 65/],
  ['another model', { model: 'other' }, /does not serve/],
])('refuses an embed of %s', async (_, embed, message) => {
  one.embed(embed);
  expect(await one.next('embedded')).toMatchObject({ failure: { message: expect.stringMatching(message) } });
  expect(engine.embeds).toEqual([]);
});

it('takes as many embeds as it has slots and room to wait, of all routers, and tells how many there are', async () => {
  for (const [stream, request] of [
    [one, 1],
    [other, 1],
    [one, 2],
  ] as const)
    await embeds(stream, request);
  const { loads } = await one.next('report', ({ loads }) => loads[0]?.queued === 1);
  expect(loads[0]).toMatchObject({ running: 2, freeSlots: 1 });
  other.embed({ request: 2 });
  expect(await other.next('embedded')).toMatchObject({ request: 2, failure: { reason: 'QUEUE_FULL' } });
  for (const embed of engine.embeds) embed.end(VECTORS);
  await one.next('report', ({ loads }) => loads[0]?.running === 0 && loads[0].queued === 0);
});

it('refuses an embed while memory is too short for anything new', async () => {
  pressure.shed();
  one.embed();
  expect(await one.next('embedded')).toMatchObject({ failure: { reason: 'NO_ROOM' } });
  expect(engine.embeds).toEqual([]);
});

it('answers no chat with it', async () => {
  one.work({ model: MODEL.name });
  const { ended } = await one.next('progress', (progress) => progress.ended.length > 0);
  expect(ended[0]?.outcome).toMatchObject({ value: { reason: 'UNSUPPORTED' } });
});

it('answers at the deadline, cancels the engine, and counts the embed until it has stopped', async () => {
  const embed = await embeds(one, 1, 20);
  expect(await one.next('embedded')).toMatchObject({ failure: { reason: 'DEADLINE_EXCEEDED' } });
  expect(embed.signal.aborted).toBe(true);
  await other.next('report', ({ loads }) => loads[0]?.freeSlots === 1);
  embed.end({ type: 'failure', reason: 'CANCELLED', message: 'cancelled' });
  await other.next('report', ({ loads }) => loads[0]?.freeSlots === 2);
});

it('takes a deadline in weeks for what it is', async () => {
  const embed = await embeds(one, 1, 0xffffffff);
  embed.end(VECTORS);
  expect(await one.next('embedded')).toMatchObject({ failure: undefined });
});

it('cancels the engine when its router asks for that, and answers when the engine has stopped', async () => {
  const embed = await embeds(one, 7);
  for (const request of [7, 8]) one.send({ $case: 'cancelEmbed', value: { request } });
  await vi.waitFor(() => expect(embed.signal.aborted).toBe(true));
  await other.next('report', ({ loads }) => loads[0]?.freeSlots === 1);
  embed.end({ type: 'failure', reason: 'CANCELLED', message: 'cancelled' });
  expect(await one.next('embedded')).toMatchObject({ request: 7, failure: { code: 1, reason: 'CANCELLED' } });
  await other.next('report', ({ loads }) => loads[0]?.freeSlots === 2);
});

it('cancels what a router asked for whose stream is lost', async () => {
  const embed = await embeds(one);
  one.end();
  await vi.waitFor(() => expect(embed.signal.aborted).toBe(true));
  embed.end(VECTORS);
});

it('lets embeds end when it drains, takes no more, and hands the rest back at the limit', async () => {
  const [first, second] = [await embeds(one), await embeds(other)];
  const left = agent.leave(60_000);
  await one.next('report', ({ state }) => state === NodeState.NODE_STATE_DRAINING);
  one.embed({ request: 2 });
  expect(await one.next('embedded')).toMatchObject({ request: 2, failure: { reason: 'DRAINING' } });
  first.end(VECTORS);
  expect(await one.next('embedded')).toMatchObject({ request: 1, failure: undefined });
  void agent.leave(0);
  expect(await other.next('embedded')).toMatchObject({ request: 1, failure: { reason: 'DRAINING' } });
  expect(second.signal.aborted).toBe(true);
  await left;
});
