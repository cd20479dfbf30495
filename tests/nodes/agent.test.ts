import { afterEach, beforeEach, expect, it } from 'vitest';
import { Agent } from '../../nodes/agent.ts';
import { nodeSettings } from '../../nodes/settings.ts';
import { Hardware } from '../../proto/gen/infermesh/v1/types.ts';
import type { NodeStream } from './fake-router.ts';
import { FakeRouter } from './fake-router.ts';
import { CANCELLED, FakeEngine, NO_TIMINGS, servedModel } from './fakes.ts';

const MODEL = servedModel({ slots: 4, prefillTokensPerSecond: 900, decodeTokensPerSecond: 90 });

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
    version: '0',
    hardware: Hardware.fromPartial({}),
    engine,
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
  job?.sink.prefilling();
  job?.sink.end(CANCELLED, 0, NO_TIMINGS);
  await other.next('report', ({ loads }) => loads[0]?.freeSlots === 4);
  expect(performance.now() - startedAt).toBeLessThan(900);
});
