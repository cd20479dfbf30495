/** A node's process with several models, and a router that does what the test says. */
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { bundledPath } from '../../../nodes/models/sources/file.ts';
import type { Ended, ModelCommand, ModelProgress, Report } from '../../../proto/gen/infermesh/v1/link.ts';
import { ModelStage } from '../../../proto/gen/infermesh/v1/link.ts';
import { ModelState, NodeState, Role } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Member } from '../../support/mesh.ts';
import { startMember } from '../../support/mesh.ts';
import type { NodeStream } from '../fake-router.ts';
import { FakeRouter } from '../fake-router.ts';

const { MODEL_STATE_LOADABLE: LOADABLE, MODEL_STATE_SERVING: SERVING } = ModelState;
const MESSAGES = [{ role: Role.ROLE_USER, text: 'hello' }];

let folder: string;
let router: FakeRouter;
let node: Member | undefined;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'infermesh-shelf-'));
  writeFileSync(join(folder, 'token'), 'a-join-token-for-tests-only\n');
  router = await FakeRouter.start();
});
afterEach(async () => {
  await node?.stop();
  node = undefined;
  await router[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

/** Starts the node with these models; resolves when it has dialled. */
async function start(models: string, ...flags: string[]): Promise<NodeStream> {
  const file = join(folder, 'models.yaml');
  writeFileSync(file, models);
  const common = ['--join', router.address, '--token-file', join(folder, 'token'), '--id', 'shelf', '--models-file', file];
  // How full the machine is that the tests run on is not their concern.
  const marks = ['--memory-high', '98%', '--memory-low', '97%'];
  node = startMember(['node', ...common, '--drain-ms', '100', ...marks, ...flags]);
  const { process: child, output } = node;
  const ended = once(child, 'exit').then(() => Promise.reject(new Error(`the node ended:\n${output()}`)));
  const stream = await Promise.race([router.attached(), ended]);
  ended.catch(() => {});
  stream.welcome();
  return stream;
}

/** As start; resolves when one of them serves. */
async function serve(models: string, ...flags: string[]): Promise<NodeStream> {
  const stream = await start(models, ...flags);
  await stream.next('report', ({ state }) => state === NodeState.NODE_STATE_SERVING);
  return stream;
}

const stateOf = (model: string, { loads }: Report) => loads.find((load) => load.model === model)?.state;
const becomes = (stream: NodeStream, model: string, state: ModelState) =>
  stream.next('report', (report) => stateOf(model, report) === state);

let commands = 0;
function command(stream: NodeStream, action: NonNullable<ModelCommand['action']>): void {
  stream.send({ $case: 'modelCommand', value: { command: ++commands, action } });
}
/** The end of the last command. */
const endOf = (stream: NodeStream): Promise<ModelProgress> =>
  stream.next('modelProgress', ({ command: number, stage, failure }) => {
    return number === commands && (stage === ModelStage.MODEL_STAGE_DONE || failure !== undefined);
  });
function commanded(stream: NodeStream, action: NonNullable<ModelCommand['action']>): Promise<ModelProgress> {
  command(stream, action);
  return endOf(stream);
}
const load = (model: string, onDemand = false) => ({ $case: 'load', value: { model, pull: false, onDemand } }) as const;

let requests = 0;
/** Asks for an answer; resolves with its end. */
async function answered(stream: NodeStream, model: string, maxTokens = 5): Promise<Ended> {
  const request = ++requests;
  stream.work({ request, model, messages: MESSAGES, maxTokens, creditBytes: 1 << 30 });
  const { ended } = await stream.next('progress', (progress) => progress.ended.some((end) => end.request === request));
  return ended.find((end) => end.request === request) as Ended;
}
const finish = { outcome: { $case: 'finish' } };

it('serves two models of one engine and one of another, each within its own slots', async () => {
  const stream = await start(`models:
  - { model: quick, engine: replay, replay: 'rate=1000', slots: 2 }
  - { model: slow, engine: replay, replay: 'rate=10', slots: 1 }
  - { model: stories-15m, threads: 1, onDemand: true }`);
  const { models } = await stream.next('inventory', (inventory) => inventory.models.length === 3);
  expect(models.map(({ name, engine, slots }) => [name, engine, slots])).toEqual([
    ['quick', 'replay', 2],
    ['slow', 'replay', 1],
    ['stories-15m', 'llama-cpp', 4],
  ]);
  await becomes(stream, 'slow', SERVING);
  for (const model of ['quick', 'slow']) expect(await answered(stream, model)).toMatchObject(finish);
  expect(await answered(stream, 'stories-15m')).toMatchObject({ outcome: { value: { reason: 'DRAINING' } } });
  command(stream, load('stories-15m', true));
  const measured = await stream.next('inventory', ({ models: all }) => (all[2]?.memoryBytes ?? 0) > 0);
  expect(measured.models[2]?.memoryBytes).toBeGreaterThan(50e6);
  expect(await endOf(stream)).toMatchObject({ stage: ModelStage.MODEL_STAGE_DONE });
  expect(await answered(stream, 'stories-15m')).toMatchObject(finish);
  expect(childrenOf(node!.pid)).toHaveLength(1);
  expect(await commanded(stream, { $case: 'unload', value: { model: 'stories-15m', limitMs: 1000 } })).toMatchObject({
    stage: ModelStage.MODEL_STAGE_DONE,
  });
  expect(childrenOf(node!.pid)).toEqual([]);
  const { loads } = await becomes(stream, 'stories-15m', LOADABLE);
  expect(loads[2]?.loadMs).toBeGreaterThan(1);
});

it('goes on with its others when a model dies while it is loaded, and can load that again', async () => {
  const stream = await serve(`models:
  - { model: steady, engine: replay, replay: 'rate=100' }
  - { model: stories-15m, threads: 1, onDemand: true }`);
  const failed = commanded(stream, load('stories-15m', true));
  // As the kernel ends it when memory is out.
  const [engine] = await found(() => childrenOf(node!.pid));
  process.kill(engine as number, 'SIGKILL');
  expect(await failed).toMatchObject({
    failure: { reason: 'ENGINE_FAILED', message: expect.stringMatching(/SIGKILL while it loaded the model/) },
  });
  expect(await answered(stream, 'steady')).toMatchObject(finish);
  expect(await commanded(stream, load('stories-15m', true))).toMatchObject({
    failure: { reason: 'MODEL_UNAVAILABLE', message: expect.stringMatching(/tried again in \d s/) },
  });
  expect(node!.output()).toMatch(/"event":"model_load_failed","model":"stories-15m","reason":"ENGINE_FAILED"/);
  expect(await commanded(stream, load('stories-15m'))).toMatchObject({ stage: ModelStage.MODEL_STAGE_DONE });
  expect(await answered(stream, 'stories-15m')).toMatchObject(finish);
});

it('begins without a model whose file is cut short, and says so', async () => {
  const cut = join(folder, 'cut.gguf');
  copyFileSync(bundledPath('stories-15m-q8_0.gguf'), cut);
  truncateSync(cut, 5_000_000);
  const stream = await serve(`models:
  - { model: steady, engine: replay, replay: 'rate=100' }
  - { model: 'file:${cut}' }`);
  expect(await answered(stream, 'steady')).toMatchObject(finish);
  await found(() => node!.output().match(/"event":"model_load_failed"/g) ?? []);
});

it('refuses to load what does not fit beside what is at work', async () => {
  const stream = await serve(
    `models:
  - { model: all-minilm-l6-v2, threads: 1 }
  - { model: stories-15m, threads: 1, onDemand: true }`,
    '--memory-budget',
    '400MB',
  );
  const refused = await commanded(stream, load('stories-15m', true));
  expect(refused.failure).toMatchObject({
    reason: 'NO_ROOM',
    message: expect.stringMatching(/^stories-15m needs \d+ MB of memory; the budget is 400 MB.* all-minilm-l6-v2 \d+ MB/),
  });
  expect(await commanded(stream, load('stories-15m'))).toMatchObject({ stage: ModelStage.MODEL_STAGE_DONE });
  const report = await becomes(stream, 'stories-15m', SERVING);
  expect(stateOf('all-minilm-l6-v2', report)).toBe(LOADABLE);
});

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
}

/** What a look gives once it gives something. */
async function found<Thing>(look: () => readonly Thing[]): Promise<readonly Thing[]> {
  for (;;) {
    const things = look();
    if (things.length > 0) return things;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
