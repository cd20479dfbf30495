/** Models that are loaded because requests wait for them, by nodes that say so and take their time. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Fault } from '../../client/index.ts';
import { Code } from '../../proto/contract/faults.ts';
import { ModelStage } from '../../proto/gen/infermesh/v1/link.ts';
import { ModelState, PressureLevel, Tier } from '../../proto/gen/infermesh/v1/types.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import type { FakeNodeOptions } from './fake-node.ts';
import { FakeNode } from './fake-node.ts';
import { expectAtRest } from './rest.ts';

const { MODEL_STATE_LOADABLE: LOADABLE, MODEL_STATE_LOADING: LOADING, MODEL_STATE_SERVING: SERVING } = ModelState;
const { MODEL_STATE_DRAINING: DRAINING } = ModelState;
const NO_ROOM = { code: Code.RESOURCE_EXHAUSTED, reason: 'NO_ROOM', message: 'it needs 2 GB, and 1 GB is left', retryAfterMs: 0 };

let mesh: TestMesh;
let nodes: FakeNode[];

beforeEach(async () => {
  nodes = [];
  mesh = await startMesh({ nodes: [] });
});
afterEach(async () => {
  for (const node of nodes) node[Symbol.dispose]();
  await expectAtRest(mesh);
  expect(mesh.router.output()).not.toMatch(/"event":"defect".*/);
  await mesh[Symbol.asyncDispose]();
});

type Models = Parameters<FakeNode['announce']>;

async function announcing(models: Models[0], more: Models[1] = {}, options: FakeNodeOptions = {}): Promise<FakeNode> {
  const { id = 'fake' } = options;
  const node = new FakeNode(mesh.address, options);
  nodes.push(node);
  node.announce(models, more);
  await mesh.until((all) => all.some((one) => one.id === id && one.loads.length > 0));
  return node;
}

/** Resolves when the router has heard of the states. */
async function says(
  node: FakeNode,
  states: Models[0],
  report: Parameters<FakeNode['states']>[1] = {},
  id = 'fake',
): Promise<void> {
  node.states(states, report);
  const isHeard = (name: string, state: ModelState) => (loads: readonly { model: string; state: ModelState }[]) =>
    loads.some((load) => load.model === name && load.state === state);
  await mesh.until((all) => {
    const loads = all.find((one) => one.id === id)?.loads ?? [];
    return Object.entries(states).every(([name, state]) => isHeard(name, state)(loads));
  });
}

const ask = (model?: string, more: { deadlineMs?: number } = {}) =>
  mesh.client.ask({ messages: 'What is the capital of France?', ...(model === undefined ? {} : { model }) }, more).then(
    ({ text, started }) => ({ text, node: started.node, model: started.model, fault: undefined }),
    (fault: Fault) => ({ text: undefined, node: undefined, model: undefined, fault }),
  );

describe('a request for a model that no node has in memory', () => {
  it('is answered when a node has loaded it', async () => {
    const node = await announcing({ m: LOADABLE });
    const answer = ask('m');
    const command = await node.command();
    expect(command.action).toMatchObject({ $case: 'load', value: { model: 'm', pull: false, onDemand: true } });
    node.modelProgress(command, { stage: ModelStage.MODEL_STAGE_LOADING, fraction: 0.5 });
    node.states({ m: LOADING });
    node.states({ m: SERVING });
    node.modelProgress(command);
    node.answer(await node.work());
    expect(await answer).toMatchObject({ text: 'yes', model: 'm' });
  });

  it('is loaded once for all who wait', async () => {
    const node = await announcing({ m: LOADABLE });
    const answers = [ask('m'), ask('m'), ask('m')];
    const command = await node.command();
    node.states({ m: SERVING });
    node.modelProgress(command);
    for (const _ of answers) node.answer(await node.work());
    for (const answer of await Promise.all(answers)) expect(answer.text).toBe('yes');
    expect(node.unread('modelCommand')).toBe(0);
  });

  it('is refused when it could not be loaded, and for a while after', async () => {
    const node = await announcing({ m: LOADABLE });
    const answer = ask('m');
    node.modelProgress(await node.command(), { stage: ModelStage.MODEL_STAGE_UNSPECIFIED, failure: NO_ROOM });
    const refused = { reason: 'NO_NODE', message: expect.stringMatching(/could not be loaded \(NO_ROOM\)/) };
    expect((await answer).fault).toMatchObject(refused);
    expect((await ask('m')).fault).toMatchObject(refused);
  });

  it('waits for another node where the first is lost over it', async () => {
    const first = await announcing({ m: LOADABLE }, { loadMs: 1000 }, { id: 'first' });
    const second = await announcing({ m: LOADABLE }, { loadMs: 9000 }, { id: 'second' });
    const answer = ask('m');
    await first.command();
    first.call.cancel();
    const command = await second.command();
    second.states({ m: SERVING });
    second.modelProgress(command);
    second.answer(await second.work());
    expect(await answer).toMatchObject({ text: 'yes', node: 'second' });
  });

  it('is refused at once where the deadline is too near for a load', async () => {
    await announcing({ m: LOADABLE }, { loadMs: 60_000 });
    const { fault } = await ask('m', { deadlineMs: 5000 });
    expect(fault).toMatchObject({ reason: 'DEADLINE_EXCEEDED', message: expect.stringMatching(/its model is not in memory/) });
  });
});

describe('a request that leaves the model open', () => {
  it('goes to one that is in memory, and loads nothing', async () => {
    const node = await announcing({ large: LOADABLE, small: SERVING }, { tier: Tier.TIER_BALANCED });
    const answer = ask();
    const work = await node.work();
    expect(work.model).toBe('small');
    node.answer(work);
    expect((await answer).model).toBe('small');
  });

  it('has one loaded that can do what the one in memory can not', async () => {
    const stories = await announcing({ stories: SERVING }, { tasks: ['story'] }, { id: 'stories' });
    const node = await announcing({ chat: LOADABLE });
    const answer = ask();
    const command = await node.command();
    node.states({ chat: SERVING });
    node.modelProgress(command);
    node.answer(await node.work());
    expect((await answer).model).toBe('chat');
    expect(stories.call.closed).toBe(false);
  });

  it('goes to another model of the same node when one leaves memory and hands it back', async () => {
    const node = await announcing({ one: SERVING, other: SERVING });
    const answers = Array.from({ length: 4 }, () => ask());
    const works = [await node.work(), await node.work(), await node.work(), await node.work()];
    const going = works[0]?.model ?? '';
    const staying = going === 'one' ? 'other' : 'one';
    node.states({ [going]: LOADABLE, [staying]: SERVING });
    const failure = { code: Code.UNAVAILABLE, reason: 'DRAINING', message: 'the model is leaving', retryAfterMs: 0 };
    for (const work of works) {
      const { request, epoch, model } = work;
      if (model === staying) node.answer(work);
      else node.progress({ ended: [{ request, epoch, tokens: 0, outcome: { $case: 'failure', value: failure } }] });
    }
    for (const { model } of works) if (model === going) node.answer(await node.work());
    for (const answer of await Promise.all(answers)) expect(answer).toMatchObject({ text: 'yes', model: staying });
  });

  it('is not kept from a node by one of its models that drains', async () => {
    const node = await announcing({ old: DRAINING, fresh: SERVING });
    const answer = ask();
    node.answer(await node.work());
    expect((await answer).model).toBe('fresh');
    expect((await ask('old')).fault).toMatchObject({ reason: 'NO_NODE', message: 'its model is draining' });
    const { candidates } = await mesh.client.explain({ messages: 'hello' });
    expect(candidates.map(({ model, exclusion }) => [model, exclusion])).toEqual([
      ['fresh', ''],
      ['old', 'its model is draining'],
    ]);
  });
});

describe('a node that is short of memory', () => {
  const pressure = (level: PressureLevel, ...steps: string[]) => ({ pressure: { level, use: 0.97, limitBytes: 1e9, steps } });

  it('loads nothing', async () => {
    const node = await announcing({ m: LOADABLE });
    await says(node, { m: LOADABLE }, pressure(PressureLevel.PRESSURE_LEVEL_HIGH, 'unload'));
    await mesh.until(([one]) => one?.pressure?.level === PressureLevel.PRESSURE_LEVEL_HIGH);
    expect((await ask('m')).fault).toMatchObject({ reason: 'NO_NODE', message: expect.stringMatching(/short of memory/) });
  });

  it('gets no work while another can do it, and all that is left to it', async () => {
    const short = await announcing({ m: SERVING }, {}, { id: 'short' });
    short.states({ m: SERVING }, pressure(PressureLevel.PRESSURE_LEVEL_CRITICAL, 'unload', 'shed'));
    await mesh.until((all) => all.some((one) => one.pressure?.level === PressureLevel.PRESSURE_LEVEL_CRITICAL));
    const alone = ask('m');
    short.answer(await short.work());
    expect((await alone).node).toBe('short');
    const well = await announcing({ m: SERVING }, {}, { id: 'well' });
    for (let n = 0; n < 3; n++) {
      const answer = ask('m');
      well.answer(await well.work());
      expect((await answer).node).toBe('well');
    }
  });
});

it('the list of models tells who would load one, and in what time', async () => {
  await announcing({ m: LOADABLE }, { loadMs: 4000 }, { id: 'slow' });
  await announcing({ m: LOADABLE }, { loadMs: 2000 }, { id: 'quick' });
  await announcing({ m: SERVING }, {}, { id: 'ready' });
  expect(await mesh.client.models()).toMatchObject([
    { model: { name: 'm' }, nodes: ['ready'], loadableOn: ['slow', 'quick'], loadMs: 2000 },
  ]);
});
