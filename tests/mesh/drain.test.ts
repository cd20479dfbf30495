/** Nodes that leave while they answer: by the router's word and by a signal. */
import { once } from 'node:events';
import { promisify } from 'node:util';
import { credentials } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { replayText } from '../../nodes/backends/replay.ts';
import type { DrainNodeRequest, DrainNodeResponse } from '../../proto/gen/infermesh/v1/admin.ts';
import { AdminServiceClient } from '../../proto/gen/infermesh/v1/admin.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import { infermesh } from '../cli/run.ts';
import type { Member, NodeOptions, TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';

let mesh: TestMesh;
let drain: (request: DrainNodeRequest) => Promise<DrainNodeResponse>;
let admin: AdminServiceClient;

beforeAll(async () => {
  mesh = await startMesh({ nodes: [] });
  admin = new AdminServiceClient(mesh.address, credentials.createInsecure());
  drain = promisify<DrainNodeRequest, DrainNodeResponse>(admin.drainNode.bind(admin));
});
afterEach(() => expectAtRest(mesh));
afterAll(async () => {
  admin.close();
  await mesh[Symbol.asyncDispose]();
});

/** Two nodes with one model, by their ids. */
async function pair(model: string, options: NodeOptions): Promise<ReadonlyMap<string, Member>> {
  const ids = [`${model}-a`, `${model}-b`];
  const nodes = await Promise.all(ids.map((id) => mesh.addNode({ ...options, model, id })));
  return new Map(ids.map((id, at) => [id, nodes[at] as Member]));
}

/** An answer, and which node gives it, from its first token on. */
async function answering(model: string, messages: string, maxTokens: number) {
  const events = mesh.client.chat({ messages, model, maxTokens })[Symbol.asyncIterator]();
  let text = '';
  let finished: Awaited<ReturnType<TestMesh['client']['ask']>>['finished'] | undefined;
  const take = async () => {
    const { value, done } = await events.next();
    if (done) return false;
    if (value.type === 'delta') text += value.text;
    if (value.type === 'finished') finished = value;
    return true;
  };
  while (text === '') await take();
  const by = (await mesh.client.nodes()).find(({ inFlight }) => inFlight > 0)?.id as string;
  const rest = async () => {
    while (await take());
    return { text, finished };
  };
  return { by, ended: rest() };
}

const exitOf = async (node: Member) => node.process.exitCode ?? ((await once(node.process, 'exit'))[0] as number | null);

/** The rest of a pair, and nothing that is gone. */
async function stopAll(nodes: ReadonlyMap<string, Member>): Promise<void> {
  await Promise.all([...nodes.values()].map((node) => node.stop()));
}

describe('a node that is asked to drain while it answers', () => {
  it('finishes within the limit and leaves', async () => {
    const nodes = await pair('patient', { engine: 'replay', replay: 'rate=100' });
    const { by, ended } = await answering('patient', 'hello', 150);
    expect(await drain({ nodeId: by, limitMs: 60_000 })).toEqual({ inFlight: 1 });
    const { text, finished } = await ended;
    expect(text).toBe(replayText([{ role: Role.ROLE_USER, text: 'hello' }], 150));
    expect(finished?.migrations).toBe(0);
    expect(await exitOf(nodes.get(by) as Member)).toBe(0);
    await stopAll(nodes);
  });

  it.each([
    ['by its router', (nodeId: string) => drain({ nodeId, limitMs: 100 })],
    ['by a signal', (_: string, node: Member) => node.process.kill('SIGTERM')],
  ] as const)('and is asked %s hands over what is left at the limit, and the reader sees one answer', async (how, ask) => {
    const model = how.replaceAll(' ', '-');
    const nodes = await pair(model, { engine: 'replay', replay: 'rate=100', flags: ['--drain-ms', '100'] });
    const { by, ended } = await answering(model, 'hello', 300);
    const node = nodes.get(by) as Member;
    await ask(by, node);
    expect(await exitOf(node)).toBe(0);
    const { text, finished } = await ended;
    expect(text).toBe(replayText([{ role: Role.ROLE_USER, text: 'hello' }], 300));
    expect(finished).toMatchObject({ migrations: 1, usage: { outputTokens: 300 } });
    await stopAll(nodes);
  });

  it('by infermesh drain is waited for until it has left', async () => {
    const nodes = await pair('told', { engine: 'replay', replay: 'rate=100' });
    const { by, ended } = await answering('told', 'hello', 300);
    const { code, stdout } = await infermesh(['drain', by, '--drain-ms', '200', '--router', mesh.address]);
    expect(code).toBe(0);
    expect(stdout).toBe(`${by} takes nothing new; 1 request runs there\n${by} has left\n`);
    expect((await ended).text).toBe(replayText([{ role: Role.ROLE_USER, text: 'hello' }], 300));
    const unknown = await infermesh(['drain', by, '--router', mesh.address]);
    expect(unknown.stderr).toContain(`no node ${by} is attached to the router`);
    await stopAll(nodes);
  });

  it('hands over an answer of llama.cpp, which goes on as it would have', async () => {
    const nodes = await pair('stories-15m', {});
    const asked = 'Once upon a time there was a dragon';
    const whole = await mesh.client.ask({ messages: asked, model: 'stories-15m', maxTokens: 150 });
    const { by, ended } = await answering('stories-15m', asked, 150);
    await drain({ nodeId: by, limitMs: 0 });
    const { text, finished } = await ended;
    expect(text).toBe(whole.text);
    expect(finished).toMatchObject({ migrations: 1, usage: { outputTokens: whole.finished.usage?.outputTokens } });
    expect(await exitOf(nodes.get(by) as Member)).toBe(0);
    await stopAll(nodes);
  });
});
