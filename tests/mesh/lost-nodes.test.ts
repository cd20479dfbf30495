/** Nodes, engines and routers that die, fall silent, come twice or leave in order. */
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ChatEvent, Fault } from '../../client/index.ts';
import { connect, NodeState } from '../../client/index.ts';
import { replayText } from '../../nodes/backends/replay.ts';
import { Code } from '../../proto/contract/faults.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import type { Member, TestMesh } from '../support/mesh.ts';
import { startMember, startMesh } from '../support/mesh.ts';
import { FakeNode } from './fake-node.ts';
import { expectAtRest } from './rest.ts';

let mesh: TestMesh;

beforeAll(async () => {
  mesh = await startMesh({ nodes: [] });
});
afterEach(() => expectAtRest(mesh));
afterAll(() => mesh[Symbol.asyncDispose]());

const turn = (text: string) => [{ role: Role.ROLE_USER, text }];
const replay = (model: string, id = model) => ({ engine: 'replay', model, id, replay: 'rate=100' }) as const;
const without = (id: string) => mesh.until((nodes) => !nodes.some((node) => node.id === id));
const stateOf = (id: string, state: number) =>
  mesh.until((nodes) => nodes.some((node) => node.id === id && node.state === state));

interface Ended {
  readonly text: string;
  /** Where it finished. */
  readonly migrations?: number;
  readonly fault?: Fault;
}

interface Streaming {
  /** Resolves at the first token. */
  readonly begun: Promise<void>;
  readonly ended: Promise<Ended>;
}

function streaming(model: string, maxTokens: number, { messages = 'hello', client = mesh.client } = {}): Streaming {
  const begun = Promise.withResolvers<void>();
  const take = async (events: AsyncIterable<ChatEvent>): Promise<Ended> => {
    let text = '';
    let migrations = 0;
    try {
      for await (const event of events) {
        if (event.type === 'finished') ({ migrations } = event);
        if (event.type !== 'delta') continue;
        text += event.text;
        begun.resolve();
      }
      return { text, migrations };
    } catch (fault) {
      begun.reject(fault);
      return { text, fault: fault as Fault };
    }
  };
  begun.promise.catch(() => {});
  return { begun: begun.promise, ended: take(client.chat({ messages, model, maxTokens })) };
}

describe('a node that is killed in the middle of a stream', () => {
  it('leaves it to another, which goes on behind the last token', async () => {
    const nodes = new Map([
      ['one', await mesh.addNode(replay('pair', 'one'))],
      ['two', await mesh.addNode(replay('pair', 'two'))],
    ]);
    const { begun, ended } = streaming('pair', 300);
    await begun;
    const busy = (await mesh.client.nodes()).find(({ inFlight }) => inFlight > 0)?.id as string;
    await nodes.get(busy)?.stop('SIGKILL');
    expect(await ended).toMatchObject({ text: replayText(turn('hello'), 300), migrations: 1 });
    nodes.delete(busy);
    for (const node of nodes.values()) await node.stop();
  });

  it('and is soon started again goes on with it itself', async () => {
    const node = await mesh.addNode(replay('phoenix'));
    const { begun, ended } = streaming('phoenix', 300);
    await begun;
    await node.stop('SIGKILL');
    const again = await mesh.addNode(replay('phoenix'));
    expect(await ended).toMatchObject({ text: replayText(turn('hello'), 300), migrations: 1 });
    await again.stop();
  });

  it('with nobody to go on ends it after a while with UNAVAILABLE, NODE_LOST and what was given', async () => {
    const node = await mesh.addNode(replay('killed'));
    const { begun, ended } = streaming('killed', 10_000);
    await begun;
    await node.stop('SIGKILL');
    const { text, fault } = await ended;
    expect(fault).toMatchObject({ code: Code.UNAVAILABLE, reason: 'NODE_LOST', retryable: true });
    expect(fault?.message).toContain('killed');
    expect(text.length).toBeGreaterThan(0);
    expect(replayText(turn('hello'), 10_000).startsWith(text)).toBe(true);
    await without('killed');
  });
});

describe('a node that stands still', () => {
  it('is suspect, then lost; it comes back by itself, and its stream goes on', async () => {
    const node = await mesh.addNode(replay('still'));
    const { begun, ended } = streaming('still', 300);
    await begun;
    const stoppedAt = performance.now();
    const suspect = stateOf('still', NodeState.NODE_STATE_SUSPECT).then(() => performance.now() - stoppedAt);
    node.process.kill('SIGSTOP');
    expect(await suspect).toBeGreaterThan(1200);
    await expect(mesh.client.ask({ messages: 'hello', model: 'still' })).rejects.toMatchObject({ reason: 'NO_NODE' });
    await without('still');
    node.process.kill('SIGCONT');
    await stateOf('still', NodeState.NODE_STATE_SERVING);
    expect(await ended).toMatchObject({ text: replayText(turn('hello'), 300), migrations: 1 });
    await node.stop();
  });

  it('beside another loses its streams to that', async () => {
    const nodes = new Map([
      ['left', await mesh.addNode(replay('twosome', 'left'))],
      ['right', await mesh.addNode(replay('twosome', 'right'))],
    ]);
    const { begun, ended } = streaming('twosome', 400);
    await begun;
    const busy = (await mesh.client.nodes()).find(({ inFlight }) => inFlight > 0)?.id as string;
    nodes.get(busy)?.process.kill('SIGSTOP');
    expect(await ended).toMatchObject({ text: replayText(turn('hello'), 400), migrations: 1 });
    nodes.get(busy)?.process.kill('SIGCONT');
    for (const node of nodes.values()) await node.stop();
  });
});

describe('of two processes with one node id', () => {
  it('the newer serves, the older is fenced, and what it was streaming goes on', async () => {
    const older = await mesh.addNode(replay('twin'));
    // Long enough for another process to be there before its end.
    const { begun, ended } = streaming('twin', 1000);
    await begun;
    const newer = startMember(nodeArguments(replay('twin')));
    expect(await ended).toMatchObject({ text: replayText(turn('hello'), 1000), migrations: 1 });
    await expect.poll(() => older.output()).toContain('router_refused');
    expect(older.output()).toContain('FENCED');
    await stateOf('twin', NodeState.NODE_STATE_SERVING);
    expect((await mesh.client.ask({ messages: 'hello', model: 'twin', maxTokens: 5 })).text).toBe(replayText(turn('hello'), 5));
    await older.stop();
    expect((await mesh.client.nodes()).map(({ id }) => id)).toContain('twin');
    await newer.stop();
  });

  it('an older one that comes later is told so, and the newer goes on', async () => {
    using newer = new FakeNode(mesh.address, { id: 'pair', epoch: 9 });
    newer.serve();
    await stateOf('pair', NodeState.NODE_STATE_SERVING);
    using older = new FakeNode(mesh.address, { id: 'pair', epoch: 8 });
    expect(await older.ended).toMatchObject({ code: Code.ABORTED, reason: 'FENCED' });
    expect((await mesh.client.nodes()).find(({ id }) => id === 'pair')?.epoch).toBe(9);
  });
});

describe('a join token', () => {
  it.each([
    ['missing', null],
    ['wrong', 'another-token-altogether'],
  ])('that is %s keeps a node out', async (how, token) => {
    using stranger = new FakeNode(mesh.address, { id: 'stranger', token });
    expect(await stranger.ended).toMatchObject({
      code: Code.UNAUTHENTICATED,
      reason: 'UNAUTHENTICATED',
      message: `the join token is ${how}`,
    });
    expect((await mesh.client.nodes()).map(({ id }) => id)).not.toContain('stranger');
    await expect.poll(() => mesh.router.output()).toContain('join_refused');
  });
});

describe('an engine whose process is killed', () => {
  it('is reported and started again, and its stream goes on', async () => {
    // One that may be poisoned has a process of its own, and is there again within the 10 s that its stream waits.
    const node = await mesh.addNode({ ...replay('teller'), replay: 'rate=100,poison=1' });
    const { begun, ended } = streaming('teller', 150);
    await begun;
    for (const pid of childrenOf(node.pid)) process.kill(pid, 'SIGKILL');
    expect(await ended).toEqual({ text: replayText(turn('hello'), 150), migrations: 1 });
    await mesh.until((nodes) => nodes.some(({ id, engineCrashes }) => id === 'teller' && engineCrashes === 1));
    await stateOf('teller', NodeState.NODE_STATE_SERVING);
    const { finished } = await mesh.client.ask({ messages: 'hello', model: 'teller', maxTokens: 10 });
    expect(finished.usage?.outputTokens).toBe(10);
    await node.stop();
  });
});

describe('a node that is told to end', () => {
  it('takes nothing new, lets its streams finish, and leaves', async () => {
    const node = await mesh.addNode(replay('leaving'));
    const { begun, ended } = streaming('leaving', 150);
    await begun;
    const stopped = node.stop();
    await stateOf('leaving', NodeState.NODE_STATE_DRAINING);
    await expect(mesh.client.ask({ messages: 'hello', model: 'leaving' })).rejects.toMatchObject({ reason: 'NO_NODE' });
    const { text, fault } = await ended;
    expect(fault).toBeUndefined();
    expect(text).toBe(replayText(turn('hello'), 150));
    await stopped;
    expect(node.process.exitCode).toBe(0);
    await without('leaving');
  });
});

describe('a router', () => {
  const routerOn = async (address: string) => {
    const router = startMember(['router', '--listen', address, '--token-file', mesh.tokenFile]);
    await using client = { mesh: connect(address), [Symbol.asyncDispose]: async () => client.mesh.close() };
    await client.mesh.ready(10_000);
    return router;
  };
  const serves = async (client: TestMesh['client'], id: string) => {
    for await (const nodes of client.watchNodes(100)) {
      if (nodes.some((node) => node.id === id && node.state === NodeState.NODE_STATE_SERVING)) return;
    }
  };

  it.each(['SIGKILL', 'SIGTERM'] as const)('that ends by %s and comes back has its nodes again', async (signal) => {
    await using own = await startMesh({ nodes: [{ ...replay('faithful'), id: `faithful-${signal.toLowerCase()}` }] });
    const id = `faithful-${signal.toLowerCase()}`;
    await own.router.stop(signal);
    const router = await routerOn(own.address);
    using client = connect(own.address);
    await serves(client, id);
    expect((await client.ask({ messages: 'hello', maxTokens: 5 })).text).toBe(replayText(turn('hello'), 5));
    for (const node of own.nodes) await node.stop();
    await router.stop();
  });

  it('that is told to end lets its streams finish and refuses new ones', async () => {
    await using own = await startMesh({ nodes: [replay('running')] });
    const { begun, ended } = streaming('running', 150, { client: own.client });
    await begun;
    const stopped = own.router.stop();
    const refused = async () =>
      (await own.client.ask({ messages: 'hello', maxTokens: 1 }).catch((fault: Fault) => fault.reason)) as string;
    await expect.poll(refused, { interval: 20 }).toBe('DRAINING');
    const { text, fault } = await ended;
    expect(fault).toBeUndefined();
    expect(text).toBe(replayText(turn('hello'), 150));
    await stopped;
    expect(own.router.process.exitCode).toBe(0);
  });

  it('whose port is in use says so and exits with 1', async () => {
    const { code, output } = await exited(startMember(['router', '--listen', mesh.address, '--token-file', mesh.tokenFile]));
    expect(code).toBe(1);
    expect(output).toContain(`cannot listen on ${mesh.address}: the port is in use`);
  });

  it('needs no Redis', async () => {
    await using own = await startMesh({
      nodes: [replay('alone')],
      routerEnv: { REDIS_URL: 'redis://127.0.0.1:1', INFERMESH_REDIS_URL: 'redis://127.0.0.1:1' },
    });
    expect((await own.client.ask({ messages: 'hello', maxTokens: 3 })).text).toBe(replayText(turn('hello'), 3));
  });
});

async function exited(member: Member): Promise<{ code: number | null; output: string }> {
  const code = await new Promise<number | null>((resolve) => member.process.once('close', resolve));
  return { code, output: member.output() };
}

function nodeArguments({ engine, model, id, replay: spec }: ReturnType<typeof replay>): string[] {
  const flags = { join: mesh.address, 'token-file': mesh.tokenFile, id, engine, model, replay: spec };
  return ['node', ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value])];
}

/** Linux: direct children of a process. */
function childrenOf(pid: number): number[] {
  const list = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return list.trim().split(' ').filter(Boolean).map(Number);
}
