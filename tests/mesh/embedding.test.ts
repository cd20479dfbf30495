/** Vectors from real nodes: a fleet in this process, which real processes of the command line join. */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LinkServiceService } from '../../proto/gen/infermesh/v1/link.ts';
import { NodeState } from '../../proto/gen/infermesh/v1/types.ts';
import { GrpcServer } from '../../proto/transport/server.ts';
import { systemClock } from '../../router/clock.ts';
import { Fleet } from '../../router/fleet/fleet.ts';
import { FleetEmbedder } from '../../router/fleet/fleet-embedder.ts';
import { linkHandlers } from '../../router/services/link.ts';
import { NodeGate } from '../../router/trust/node-gate.ts';
import { TrustFolder } from '../../router/trust/trust-folder.ts';
import { infermesh } from '../cli/run.ts';
import { dot } from '../contract/embeddings.ts';
import type { Member } from '../support/mesh.ts';
import { startMember, startMesh, TOKEN } from '../support/mesh.ts';

const LIMIT = { deadlineMs: 20_000, traceparent: '' };
const TEXTS = ['What is the capital of France?', 'Which city is the capital of France?', 'How do I sort a list in Python?'];

let folder: string;
let fleet: Fleet;
let embedder: FleetEmbedder;
let server: GrpcServer;
let address: string;
let members: Member[];
let defects: string[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'infermesh-embedding-'));
  writeFileSync(join(folder, 'token'), `${TOKEN}\n`);
  members = [];
  defects = [];
  fleet = new Fleet(systemClock, () => {});
  embedder = new FleetEmbedder({ fleet, clock: systemClock });
  const gate = new NodeGate({ token: TOKEN, folder: new TrustFolder(join(folder, 'trust')), clock: systemClock });
  const onDefect = (method: string) => defects.push(method);
  server = new GrpcServer({ address: '127.0.0.1:0', onDefect });
  server.addService(
    LinkServiceService,
    linkHandlers({ fleet, clock: systemClock, gate, routerId: 'r', tell: () => {}, onDefect }),
  );
  address = `127.0.0.1:${await server.listen()}`;
});
afterEach(async () => {
  await Promise.all(members.map((member) => member.stop()));
  embedder[Symbol.dispose]();
  fleet.stop();
  await server.close(200);
  rmSync(folder, { recursive: true, force: true });
  expect(defects).toEqual([]);
});

/** Starts a node; resolves when it serves. */
async function node(id: string, ...flags: string[]): Promise<Member> {
  const common = ['node', '--join', address, '--token-file', join(folder, 'token'), '--id', id, '--threads', '1'];
  const member = startMember([...common, ...flags]);
  members.push(member);
  await until(() => stateOf(id) === NodeState.NODE_STATE_SERVING);
  return member;
}

const replay = (id: string, spec: string) => node(id, '--engine', 'replay', '--model', 'vectors', '--replay', spec);
const stateOf = (id: string) => (fleet.get(id)?.models.length ? fleet.get(id)?.state : undefined);

/** Resolves when the fleet is as asked. */
function until(holds: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    if (holds()) return resolve();
    const stop = fleet.onChange(() => {
      if (!holds()) return;
      stop();
      resolve();
    });
  });
}

/** Resolves when vectors are made again: a node that failed rests first. */
async function untilItMakes(count: number): Promise<void> {
  const made = () =>
    embedder.embed(TEXTS.slice(0, count), LIMIT).then(
      ({ vectors }) => vectors.length,
      () => 0,
    );
  await expect.poll(made, { timeout: 15_000 }).toBe(count);
}

/** Resolves when a node works on an embed. */
const working = (id: string) => until(() => (fleet.get(id)?.loads[0]?.running ?? 0) > 0);

/** The engine's own process, the only child of its node. */
const engineOf = ({ pid }: Member) => Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'));

describe('a node with all-minilm-l6-v2', () => {
  it('makes vectors that are near each other where texts mean the same, and again after its engine was killed', async () => {
    const member = await node('minilm', '--model', 'all-minilm-l6-v2');
    expect(embedder.model).toMatchObject({
      name: 'all-minilm-l6-v2',
      dimensions: 384,
      digest: expect.stringMatching(/^sha256:/),
    });
    const { model, vectors } = await embedder.embed(TEXTS, LIMIT);
    expect(model).toEqual(embedder.model);
    const [one, same, other] = vectors as [Float32Array, Float32Array, Float32Array];
    expect(dot(one, same)).toBeGreaterThan(0.9);
    expect(dot(one, other)).toBeLessThan(0.3);

    // Seconds of work on any machine, so that a report tells of it.
    const long = Array.from({ length: 64 }, () => 'a long text '.repeat(300));
    const lost = Array.from({ length: 4 }, () => embedder.embed(long, LIMIT));
    const refused = lost.map((embedding) => expect(embedding).rejects.toMatchObject({ reason: 'ENGINE_CRASHED' }));
    await working('minilm');
    process.kill(engineOf(member), 'SIGKILL');
    await Promise.all(refused);
    await until(() => stateOf('minilm') === NodeState.NODE_STATE_SERVING);
    await untilItMakes(3);
  });
});

describe('of two nodes with one embedding model', () => {
  it('one takes over what the other had when it was killed', async () => {
    const slow = await replay('a', 'embed=64,wedge=0');
    const embedding = embedder.embed(TEXTS, LIMIT);
    await replay('b', 'embed=64');
    await until(() => fleet.get('b') !== undefined);
    await slow.stop('SIGKILL');
    expect((await embedding).vectors).toHaveLength(3);
  });

  it('one does it all once the other is frozen', async () => {
    const frozen = await replay('a', 'embed=64');
    await replay('b', 'embed=64');
    frozen.process.kill('SIGSTOP');
    const first = await Promise.allSettled(
      Array.from({ length: 8 }, (_, i) => embedder.embed([`text ${i}`], { ...LIMIT, deadlineMs: 500 })),
    );
    const again = await Promise.all(Array.from({ length: 8 }, (_, i) => embedder.embed([`text ${i}`], LIMIT)));
    for (const outcome of first) {
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ reason: 'DEADLINE_EXCEEDED' });
    }
    expect(again.map(({ vectors }) => vectors.length)).toEqual(again.map(() => 1));
  });

  it('one that drains finishes what it has and gets no more', async () => {
    const member = await replay('a', 'embed=64,prefill=20');
    const running = embedder.embed(['seven words that take a while to read'], LIMIT);
    await replay('b', 'embed=64');
    const exited = once(member.process, 'exit');
    fleet.get('a')?.drain(10_000);
    await until(() => stateOf('a') !== NodeState.NODE_STATE_SERVING);
    expect((await embedder.embed(TEXTS, LIMIT)).vectors).toHaveLength(3);
    expect((await running).vectors).toHaveLength(1);
    expect(await exited).toEqual([0, null]);
  });
});

describe('in a mesh with an embedding model', () => {
  it('chats go to those that answer, and who asks for it by name is told', async () => {
    await using mesh = await startMesh({
      nodes: [
        { id: 'vectors', engine: 'replay', model: 'vectors', replay: 'embed=64', slots: 64 },
        { id: 'chat', engine: 'replay', model: 'chat', replay: 'length=3' },
      ],
    });
    const answers = await Promise.all(Array.from({ length: 6 }, () => mesh.client.ask({ messages: 'hello' })));
    expect(new Set(answers.map(({ started }) => started.model))).toEqual(new Set(['chat']));
    await expect(mesh.client.ask({ messages: 'hello', model: 'vectors' })).rejects.toMatchObject({
      reason: 'UNSUPPORTED',
      message: 'its model makes vectors of texts and answers nothing',
    });
    const ps = await infermesh(['ps', '--router', mesh.address]);
    expect(ps.stdout).toMatch(/vectors +serving +vectors +0\/64 +100000 tok\/s/);
  });
});

it('a node whose engine dies of a text is there again, and another text goes through', async () => {
  await replay('a', 'embed=8,poison=1');
  await expect(embedder.embed(['POISON'], LIMIT)).rejects.toMatchObject({ reason: 'ENGINE_CRASHED' });
  await untilItMakes(1);
});
