/** A node that lies or speaks nonsense costs its own requests, never the router. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Fault } from '../../client/index.ts';
import { deltaMessage } from '../../nodes/frame.ts';
import { Code } from '../../proto/contract/faults.ts';
import type { Progress, Work } from '../../proto/gen/infermesh/v1/link.ts';
import { Report } from '../../proto/gen/infermesh/v1/link.ts';
import { FinishReason, ModelState } from '../../proto/gen/infermesh/v1/types.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import { FakeNode } from './fake-node.ts';
import { expectAtRest } from './rest.ts';

let mesh: TestMesh;

beforeAll(async () => {
  mesh = await startMesh({ nodes: [{ engine: 'replay', model: 'honest', replay: 'length=3' }] });
});
afterEach(async () => {
  await expectAtRest(mesh);
  // The router still serves by its honest node.
  await mesh.client.ask({ messages: 'hello', model: 'honest' });
  expect(mesh.router.output()).not.toMatch(/"event":"defect".*/);
});
afterAll(() => mesh[Symbol.asyncDispose]());

const present = (id: string) => mesh.until((nodes) => nodes.some((node) => node.id === id && node.models.length > 0));
const absent = (id: string) => mesh.until((nodes) => !nodes.some((node) => node.id === id));

async function serving(claims: Parameters<FakeNode['serve']>[0] = {}): Promise<FakeNode> {
  const node = new FakeNode(mesh.address);
  node.serve(claims);
  await present('fake');
  return node;
}

async function asked(node: FakeNode) {
  const outcome = mesh.client.ask({ messages: 'hello', model: 'fake' }).then(
    ({ text, finished }) => ({ text, finished, fault: undefined }),
    (fault: Fault) => ({ text: '', finished: undefined, fault }),
  );
  return { work: await node.work(), outcome };
}

function piece({ request, epoch }: Work, seq: number, text: string, tokens = 1): Partial<Progress> {
  const data = deltaMessage(seq, tokens, text);
  return { request: [request], epoch: [epoch], seq: [seq], tokens: [tokens], size: [data.length], data };
}

const finish = (
  { request, epoch }: Work,
  tokens: number,
  reason: FinishReason = FinishReason.FINISH_REASON_STOP,
): Partial<Progress> => ({
  ended: [{ request, epoch, tokens, outcome: { $case: 'finish', value: { reason } } }],
});

/** Behind a beginning nobody can go on: no other node has the model. */
const FAILED = { code: Code.UNAVAILABLE, reason: expect.stringMatching(/^(NODE_LOST|STREAM_NOT_RESUMABLE)$/) };
const NODE_LOST = { code: Code.UNAVAILABLE, reason: 'NODE_LOST' };

describe('claims that cannot be true', () => {
  it.each([1e9, 0, -1])('are clamped and counted: %d slots', async (slots) => {
    const before = (await mesh.client.stats()).claimsClamped;
    using node = new FakeNode(mesh.address);
    node.serve({ slots });
    const nodes = await present('fake');
    const got = nodes.find(({ id }) => id === 'fake')?.models[0]?.slots;
    expect(got).toBe(slots > 0 ? 16_384 : 1);
    expect((await mesh.client.stats()).claimsClamped).toBeGreaterThan(before);
    await expect.poll(() => mesh.router.output()).toContain('claim_clamped');
  });

  it('are clamped and counted: rates, prices and loads that are NaN, negative or endless', async () => {
    const before = (await mesh.client.stats()).claimsClamped;
    using node = await serving({
      prefillTokensPerSecond: Number.NaN,
      decodeTokensPerSecond: Number.POSITIVE_INFINITY,
      price: { inputUsdPerMillion: -1, outputUsdPerMillion: 1e300 },
    });
    const load = {
      model: 'fake',
      freeSlots: -5,
      running: 1_000_000,
      queued: -1,
      queuedPromptTokens: 1e15,
      kvCacheUse: Number.NaN,
      state: ModelState.MODEL_STATE_UNSPECIFIED,
      loadMs: -1,
    };
    const rates = { prefillTokensPerSecond: -1, decodeTokensPerSecond: Number.NEGATIVE_INFINITY };
    node.report({ cpuUse: Number.NaN, loads: [{ ...load, ...rates }] });
    const [seen] = (await mesh.until((nodes) => nodes.some(({ loads }) => loads[0]?.running === 4))).filter(
      ({ id }) => id === 'fake',
    );
    expect(seen?.models[0]).toMatchObject({ prefillTokensPerSecond: 0, decodeTokensPerSecond: 0 });
    expect(seen?.models[0]?.price).toEqual({ inputUsdPerMillion: 0, outputUsdPerMillion: 1e6 });
    expect(seen?.loads[0]).toMatchObject({ freeSlots: 0, queued: 0, queuedPromptTokens: 1e9, kvCacheUse: 0 });
    expect(seen?.cpuUse).toBe(0);
    expect((await mesh.client.stats()).claimsClamped - before).toBeGreaterThanOrEqual(12);
  });
});

describe('a first frame', () => {
  it.each(['UPPER', '-a', 'a/b', '', 'a'.repeat(65), '../etc'])('with the node id "%s" is refused', async (id) => {
    using node = new FakeNode(mesh.address, { id });
    const fault = await node.ended;
    expect(fault).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_REQUEST' });
    expect(fault.violations[0]?.field).toBe('hello.node_id');
  });

  it('that comes twice ends the link', async () => {
    using node = await serving();
    node.hello(2);
    expect(await node.ended).toMatchObject({ reason: 'INVALID_REQUEST', message: 'hello came twice' });
    await absent('fake');
  });

  it('with an inventory of names that are none is refused', async () => {
    using node = new FakeNode(mesh.address);
    node.serve({ name: '../../etc/passwd' });
    const fault = await node.ended;
    expect(fault).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_REQUEST' });
    expect(fault.violations[0]?.field).toBe('inventory.models[0].name');
  });
});

describe('progress that does not add up', () => {
  it.each<[string, (work: Work) => Partial<Progress>]>([
    ['columns of different lengths', (work) => ({ ...piece(work, 0, 'a'), seq: [] })],
    ['more bytes than there are', (work) => ({ ...piece(work, 0, 'a'), size: [4_000_000_000] })],
  ])('in its form ends the link: %s', async (_name, wrong) => {
    using node = await serving();
    const { work, outcome } = await asked(node);
    node.progress(wrong(work));
    expect(await node.ended).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_REQUEST' });
    expect((await outcome).fault).toMatchObject(NODE_LOST);
    await absent('fake');
  });

  it.each<[string, (work: Work) => Partial<Progress>[]]>([
    ['a gap', (work) => [piece(work, 0, 'a'), piece(work, 2, 'c')]],
    ['a token given twice', (work) => [piece(work, 0, 'a'), piece(work, 0, 'a')]],
    ['a piece that is no whole message', (work) => [{ ...piece(work, 0, 'a'), size: [7] }]],
    [
      'a piece that claims to be compressed',
      (work) => [{ ...piece(work, 0, 'a'), size: [5], data: Buffer.from([1, 0, 0, 0, 0]) }],
    ],
    [
      'a message longer than its piece',
      (work) => [{ ...piece(work, 0, 'a'), size: [5], data: Buffer.from([0, 255, 255, 255, 255]) }],
    ],
    ['an empty piece', (work) => [{ ...piece(work, 0, 'a'), size: [0], data: Buffer.alloc(0) }]],
    ['more than its credit', (work) => [piece(work, 0, 'x'.repeat(40_000))]],
    ['an end that counts other tokens', (work) => [piece(work, 0, 'a'), finish(work, 5)]],
    ['an end without a reason', (work) => [{ ended: [{ request: work.request, epoch: work.epoch, tokens: 0 }] }]],
    ['an end that gives no finish reason', (work) => [finish(work, 0, FinishReason.FINISH_REASON_UNSPECIFIED)]],
  ])('in its content ends the attempt: %s', async (_name, wrong) => {
    using node = await serving();
    const { work, outcome } = await asked(node);
    for (const frame of wrong(work)) node.progress(frame);
    expect((await outcome).fault).toMatchObject(FAILED);
    expect((await mesh.client.nodes()).map(({ id }) => id)).toContain('fake');
  });

  it('for requests that do not exist, and of late epochs, is dropped', async () => {
    using node = await serving();
    const { work, outcome } = await asked(node);
    node.progress(piece({ ...work, request: 77 }, 0, 'ghost'));
    node.progress(piece({ ...work, epoch: work.epoch + 1 }, 0, 'late'));
    node.progress(finish({ ...work, request: 78 }, 3));
    node.progress(piece(work, 0, 'right'));
    node.progress(finish(work, 1));
    expect(await outcome).toMatchObject({ text: 'right', fault: undefined });
  });

  it('that names a failure with hostile text gives a clear status', async () => {
    using node = await serving();
    const { work, outcome } = await asked(node);
    const value = { code: 99, reason: 'NO_SUCH_REASON', message: `\ud83d${'x'.repeat(100_000)}\n\u0000`, retryAfterMs: 0 };
    node.progress({ ended: [{ request: work.request, epoch: work.epoch, tokens: 0, outcome: { $case: 'failure', value } }] });
    const { fault } = await outcome;
    expect(fault?.reason).toBe('INTERNAL');
    expect(fault?.message.length).toBeLessThanOrEqual(512);
  });

  it('as bytes that are no frame ends the link', async () => {
    using node = await serving();
    const { outcome } = await asked(node);
    // The largest epoch of the .proto is beyond what a number holds here.
    node.send({ $case: 'report', value: Report.fromPartial({ memoryUsedBytes: 2 ** 63 }) });
    expect((await node.ended).reason).toBe('INVALID_REQUEST');
    expect((await outcome).fault).toMatchObject(NODE_LOST);
  });
});
