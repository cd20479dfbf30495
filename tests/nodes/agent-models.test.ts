/** A node with several models, two routers that do what the test says, and engines that do so too. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Agent } from '../../nodes/agent.ts';
import { nodeSettings } from '../../nodes/settings.ts';
import type { Ended, ModelCommand, ModelProgress, Report } from '../../proto/gen/infermesh/v1/link.ts';
import { ModelStage } from '../../proto/gen/infermesh/v1/link.ts';
import { Hardware, ModelState, NodeState } from '../../proto/gen/infermesh/v1/types.ts';
import type { NodeStream } from './fake-router.ts';
import { FakeRouter } from './fake-router.ts';
import { FakePressure } from './fakes.ts';
import { ShelfWorld } from './shelf/world.ts';

const { MODEL_STATE_LOADABLE: LOADABLE, MODEL_STATE_SERVING: SERVING, MODEL_STATE_DRAINING: DRAINING } = ModelState;
const { MODEL_STAGE_DONE: DONE } = ModelStage;

let world: ShelfWorld;
let agent: Agent;
let routers: FakeRouter[];
let one: NodeStream;
let other: NodeStream;

beforeEach(async () => {
  routers = [await FakeRouter.start(), await FakeRouter.start()];
  world = new ShelfWorld(
    { a: { bytes: 40, digest: 'aa11aa11' }, b: { bytes: 40 }, 'a@bb22bb22': { bytes: 40, digest: 'bb22bb22' } },
    100,
  );
  const join = routers.map(({ address }) => address).join(',');
  agent = new Agent({
    id: 'n',
    settings: nodeSettings({ flags: { join, tokenFile: 'unread', model: 'a', onDemand: 'b', drainMs: 0 } }),
    token: 'a-join-token-for-tests-only',
    tls: undefined,
    version: '0',
    hardware: Hardware.fromPartial({}),
    shelf: world.shelf,
    usage: { sample: () => ({ cpuUse: 0, memoryUsedBytes: 1 }) },
    gpus: { uses: [] },
    pressure: new FakePressure(),
    observer: { watch: () => ({ tell() {} }) },
    tell() {},
  });
  [one, other] = (await Promise.all(routers.map((router) => router.attached()))) as [NodeStream, NodeStream];
  for (const stream of [one, other]) stream.welcome();
  world.load('a', { atStart: true });
  await world.pass(200);
  world.shelf.started();
});
afterEach(async () => {
  await agent.leave(0);
  await Promise.all(routers.map((router) => router[Symbol.asyncDispose]()));
});

const stateOf = (model: string, { loads }: Report) => loads.find((load) => load.model === model)?.state;
const reports = (stream: NodeStream, a: ModelState, b: ModelState) =>
  stream.next('report', (report) => stateOf('a', report) === a && stateOf('b', report) === b);

function command(stream: NodeStream, action: NonNullable<ModelCommand['action']>, number = 1): void {
  stream.send({ $case: 'modelCommand', value: { command: number, action } });
}
const load = (model: string) => ({ $case: 'load', value: { model, pull: false, onDemand: false } }) as const;
const unload = (model: string, limitMs: number) => ({ $case: 'unload', value: { model, limitMs } }) as const;

/** The end of a command, while time passes. */
async function endOf(stream: NodeStream, number = 1): Promise<ModelProgress> {
  const end = stream.next('modelProgress', (progress) => {
    return progress.command === number && (progress.stage === DONE || progress.failure !== undefined);
  });
  let came = false;
  void end.then(() => (came = true));
  await vi.waitFor(async () => {
    await world.pass(100);
    expect(came).toBe(true);
  });
  return end;
}

async function ended(stream: NodeStream, request: number): Promise<Ended> {
  const { ended } = await stream.next('progress', (progress) => progress.ended.some((end) => end.request === request));
  return ended.find((end) => end.request === request) as Ended;
}
const reason = (of: string) => ({ outcome: { $case: 'failure', value: { reason: of } } });

it('announces them all, says of each how it stands, and serves while one does', async () => {
  expect(await one.next('inventory', ({ models }) => models.length === 2)).toMatchObject({
    models: [{ name: 'a' }, { name: 'b' }],
  });
  const report = await reports(one, SERVING, LOADABLE);
  expect(report.state).toBe(NodeState.NODE_STATE_SERVING);
  expect(report.loads).toMatchObject([
    { model: 'a', freeSlots: 2, loadMs: 100 },
    { model: 'b', freeSlots: 0 },
  ]);
});

it('gives work to the engine of its model, and back what is for none', async () => {
  command(one, load('b'));
  await endOf(one);
  one.work({ request: 1, model: 'a' });
  one.work({ request: 2, model: 'b' });
  one.work({ request: 3, model: 'c' });
  await vi.waitFor(() => expect(world.engines.map(({ jobs }) => jobs.length)).toEqual([1, 1]));
  expect(await ended(one, 3)).toMatchObject(reason('MODEL_NOT_FOUND'));
  // The slots of one model are not those of the other.
  const { loads } = await other.next('report', (report) => report.loads.every(({ freeSlots }) => freeSlots === 1));
  expect(loads).toHaveLength(2);
});

it('says what became of a command, and before its end how the model stands', async () => {
  command(one, load('b'));
  expect(await endOf(one)).toEqual({ command: 1, stage: DONE, fraction: 1, failure: undefined });
  await reports(other, SERVING, SERVING);
  command(one, load('nothing'), 2);
  expect(await endOf(one, 2)).toMatchObject({ failure: { reason: 'MODEL_NOT_FOUND' } });
});

it('goes on with a command whose router has left, before that of another', async () => {
  one.work({ request: 1, model: 'a' });
  await vi.waitFor(() => expect(world.engines[0]?.jobs).toHaveLength(1));
  command(other, unload('a', 500));
  await reports(other, DRAINING, LOADABLE);
  other.end();
  command(one, load('a'));
  await one.next('modelProgress', ({ stage }) => stage === ModelStage.MODEL_STAGE_WAITING);
  expect(await endOf(one)).toMatchObject({ stage: DONE });
  expect(world.engines.map(({ disposals }) => disposals)).toEqual([1, 0]);
});

it('hands back what is left of a model when its time is over, and takes none meanwhile', async () => {
  one.work({ request: 1, model: 'a' });
  await vi.waitFor(() => expect(world.engines[0]?.jobs).toHaveLength(1));
  command(other, unload('a', 1000));
  await reports(one, DRAINING, LOADABLE);
  one.work({ request: 2, model: 'a' });
  expect(await ended(one, 2)).toMatchObject(reason('DRAINING'));
  await world.pass(1000);
  expect(await ended(one, 1)).toMatchObject(reason('DRAINING'));
  expect(await endOf(other)).toMatchObject({ stage: DONE });
  expect(await reports(one, LOADABLE, LOADABLE)).toMatchObject({ state: NodeState.NODE_STATE_SERVING });
});

it('lets a new version take over while the old one finishes what it has', async () => {
  one.work({ request: 1, model: 'a' });
  await vi.waitFor(() => expect(world.engines[0]?.jobs).toHaveLength(1));
  command(other, { $case: 'swap', value: { from: 'a', to: 'a@bb22bb22', pull: false, limitMs: 60_000 } });
  await vi.waitFor(async () => {
    await world.pass(100);
    expect(world.shelf.place('a')?.served.digest).toBe('sha256:bb22bb22');
  });
  await one.next('inventory', ({ models }) => models[0]?.digest === 'sha256:bb22bb22');
  one.work({ request: 7, model: 'a' });
  await vi.waitFor(() => expect(world.engines.map(({ jobs }) => jobs.length)).toEqual([1, 1]));
  world.engines[0]?.jobs[0]?.sink.end(
    { type: 'finish', reason: 1, usage: { inputTokens: 1, outputTokens: 1, cachedInputTokens: 0 } },
    1,
    { queueMs: 0, prefillMs: 0, decodeMs: 0 },
  );
  expect(await ended(one, 1)).toMatchObject({ outcome: { $case: 'finish' } });
  expect(await endOf(other)).toMatchObject({ stage: DONE });
  expect(world.engines.map(({ disposals }) => disposals)).toEqual([1, 0]);
});

it('obeys no router any more once it leaves', async () => {
  one.work({ request: 1, model: 'a' });
  await vi.waitFor(() => expect(world.engines[0]?.jobs).toHaveLength(1));
  one.send({ $case: 'drain', value: { limitMs: 60_000 } });
  await other.next('report', ({ state }) => state === NodeState.NODE_STATE_DRAINING);
  command(other, load('b'));
  expect(await endOf(other)).toMatchObject({ failure: { reason: 'DRAINING' } });
});
