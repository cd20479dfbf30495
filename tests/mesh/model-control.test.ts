/** What operators have nodes load, unload and swap, by nodes that take their time and say what becomes of it. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Fault, ModelStep } from '../../client/index.ts';
import { connect } from '../../client/index.ts';
import { ModelStage } from '../../proto/gen/infermesh/v1/link.ts';
import { ModelState, NodeState, PressureLevel } from '../../proto/gen/infermesh/v1/types.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh, TOKEN } from '../support/mesh.ts';
import { FakeNode } from './fake-node.ts';

const { MODEL_STATE_LOADABLE: LOADABLE, MODEL_STATE_SERVING: SERVING } = ModelState;
const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;

let mesh: TestMesh;
let nodes: FakeNode[];

beforeAll(async () => {
  mesh = await startMesh({ nodes: [], connect: { apiKey: TOKEN } });
});
beforeEach(() => {
  nodes = [];
});
afterEach(async () => {
  for (const node of nodes) node[Symbol.dispose]();
  await mesh.until((all) => all.length === 0);
  expect(mesh.router.output()).not.toMatch(/"event":"defect".*/);
});
afterAll(() => mesh[Symbol.asyncDispose]());

async function announcing(id: string, models: Parameters<FakeNode['announce']>[0]): Promise<FakeNode> {
  const node = new FakeNode(mesh.address, { id });
  nodes.push(node);
  node.announce(models, { digest: DIGEST });
  await mesh.until((all) => all.some((one) => one.id === id && one.state === NodeState.NODE_STATE_SERVING));
  return node;
}

async function all(steps: AsyncIterable<ModelStep>): Promise<string[]> {
  const told = await Array.fromAsync(steps);
  return told.map(({ node, stage, fraction, fault }) => `${node} ${stage} ${fraction}${fault ? ` ${fault.reason}` : ''}`);
}

const faultOf = (steps: AsyncIterable<ModelStep>) =>
  all(steps).then(
    () => undefined,
    (fault: Fault) => fault,
  );

describe('a load', () => {
  it('tells how far it has come, and goes to the node as it was asked for', async () => {
    const node = await announcing('n', { m: LOADABLE });
    const steps = all(mesh.client.loadModel('m', { pull: true, slots: 7 }));
    const command = await node.command();
    expect(command.action).toMatchObject({ $case: 'load', value: { model: 'm', pull: true, slots: 7, onDemand: false } });
    node.modelProgress(command, { stage: ModelStage.MODEL_STAGE_PULLING, fraction: 0.5 });
    node.modelProgress(command, { stage: ModelStage.MODEL_STAGE_LOADING, fraction: 7 });
    node.modelProgress(command);
    expect(await steps).toEqual(['n pulling 0.5', 'n loading 1', 'n done 1']);
  });

  it('goes to a node that announces it, then to one that has it, then to any', async () => {
    const goesTo = async (node: FakeNode) => {
      const steps = all(mesh.client.loadModel('m'));
      node.modelProgress(await node.command());
      expect(await steps).toHaveLength(1);
    };
    const any = await announcing('a', { other: SERVING });
    await goesTo(any);
    const having = await announcing('b', { m: SERVING });
    await goesTo(having);
    const announces = await announcing('c', { m: LOADABLE });
    await goesTo(announces);
    const pressure = { level: PressureLevel.PRESSURE_LEVEL_HIGH, use: 0.9, limitBytes: 1, steps: [] };
    announces.states({ m: LOADABLE }, { pressure });
    await mesh.until((fleet) => fleet.some(({ pressure: one }) => one?.level === PressureLevel.PRESSURE_LEVEL_HIGH));
    await goesTo(having);
  });

  it('that a node can not do fails there, with its reason, and nowhere else', async () => {
    const [one, other] = [await announcing('one', {}), await announcing('other', {})];
    const steps = all(mesh.client.loadModel('m', { nodes: ['one', 'other', 'one'] }));
    const failure = { code: 8, reason: 'NO_ROOM', message: 'it needs 2 GB, and 1 GB is left', retryAfterMs: 0 };
    one.modelProgress(await one.command(), { stage: ModelStage.MODEL_STAGE_UNSPECIFIED, failure });
    other.modelProgress(await other.command());
    expect((await steps).toSorted()).toEqual(['one failed 0 NO_ROOM', 'other done 1']);
  });

  it('fails with its node', async () => {
    const node = await announcing('n', {});
    const steps = all(mesh.client.loadModel('m'));
    await node.command();
    node.call.cancel();
    expect(await steps).toEqual(['n failed 0 NODE_LOST']);
  });

  it('goes on when nobody listens any more', async () => {
    const node = await announcing('n', { m: LOADABLE });
    const leave = new AbortController();
    const steps = all(mesh.client.loadModel('m', { signal: leave.signal })).catch((fault: Fault) => fault.reason);
    const command = await node.command();
    leave.abort();
    expect(await steps).toBe('CANCELLED');
    node.modelProgress(command);
    node.states({ m: SERVING });
    await mesh.until(([one]) => one?.loads[0]?.state === SERVING);
  });
});

describe('an unload', () => {
  it('goes to every node that has the model, or that version of it, in memory', async () => {
    const having = [await announcing('a', { m: SERVING }), await announcing('b', { m: SERVING, other: SERVING })];
    await announcing('c', { m: LOADABLE });
    for (const name of ['m', 'm@01234567']) {
      const steps = all(mesh.client.unloadModel(name));
      for (const node of having) {
        const command = await node.command();
        expect(command.action).toMatchObject({ $case: 'unload', value: { model: 'm', limitMs: 30_000 } });
        node.modelProgress(command, { stage: ModelStage.MODEL_STAGE_DRAINING });
        node.modelProgress(command);
      }
      expect((await steps).toSorted()).toEqual(['a done 1', 'a draining 0', 'b done 1', 'b draining 0']);
    }
    expect(await faultOf(mesh.client.unloadModel('m@76543210'))).toMatchObject({ reason: 'MODEL_NOT_FOUND' });
    const other = mesh.client.swapModel('m@76543210', 'm', { nodes: ['a'] });
    expect(await all(other)).toEqual(['a failed 0 MODEL_NOT_FOUND']);
  });
});

describe('a swap', () => {
  it('of several nodes is one after the other, past one that fails', async () => {
    const names = ['a', 'b', 'c'];
    for (const id of names) await announcing(id, { old: SERVING });
    const steps = all(mesh.client.swapModel('old', 'fresh', { limitMs: 0 }));
    for (const node of nodes) {
      const command = await node.command();
      expect(command.action).toMatchObject({ $case: 'swap', value: { from: 'old', to: 'fresh', pull: false, limitMs: 0 } });
      for (const other of nodes) expect(other.unread('modelCommand')).toBe(0);
      const failure = { code: 9, reason: 'MODEL_UNAVAILABLE', message: 'the weights are damaged', retryAfterMs: 0 };
      node.modelProgress(command, node === nodes[1] ? { stage: ModelStage.MODEL_STAGE_UNSPECIFIED, failure } : {});
    }
    expect(await steps).toEqual(['a done 1', 'b failed 0 MODEL_UNAVAILABLE', 'c done 1']);
  });
});

it('is refused out of its bounds, for a node that is not there, and where there is none', async () => {
  const { client } = mesh;
  expect(await faultOf(client.loadModel('../m'))).toMatchObject({ violations: [{ field: 'load.model' }] });
  expect(await faultOf(client.loadModel('m', { nodes: ['gone'] }))).toMatchObject({ reason: 'NODE_UNKNOWN' });
  expect(await faultOf(client.loadModel('m'))).toMatchObject({ reason: 'NO_NODE' });
});

it('is for admins', async () => {
  using stranger = connect(mesh.address);
  expect(await faultOf(stranger.loadModel('m'))).toMatchObject({ reason: 'FORBIDDEN' });
});
