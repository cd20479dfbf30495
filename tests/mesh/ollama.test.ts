/** A real router and a real node, whose engine is an Ollama that replays recorded chunks. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { ChatEvent } from '../../client/index.ts';
import { NodeState } from '../../client/index.ts';
import { FinishReason } from '../../proto/gen/infermesh/v1/types.ts';
import { infermesh } from '../cli/run.ts';
import type { NodeOptions, TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import { FakeOllama } from '../support/ollama-server.ts';

const MODEL = 'qwen2.5:0.5b';
let ollama: FakeOllama;
let mesh: TestMesh;

const nodeOf = ({ url }: FakeOllama, model = MODEL): NodeOptions => {
  const flags = ['--engine', 'ollama', '--ollama-url', url, '--ollama-context', '512'];
  return { model, slots: 2, flags };
};

beforeAll(async () => {
  ollama = await FakeOllama.start({ rate: 200 });
  mesh = await startMesh({ nodes: [nodeOf(ollama)], routerFlags: ['--no-cache'] });
});
afterAll(async () => {
  await mesh[Symbol.asyncDispose]();
  await ollama[Symbol.asyncDispose]();
});

async function ask(maxTokens: number, more: { readonly signal?: AbortSignal; readonly deadlineMs?: number } = {}) {
  const events: ChatEvent[] = [];
  for await (const event of mesh.client.chat({ messages: 'Once upon a time', model: MODEL, maxTokens }, more)) events.push(event);
  return events;
}
const idle = () => vi.waitUntil(() => ollama.running === 0);

test('an answer of Ollama comes through the mesh, with the tokens that Ollama counted', async () => {
  const finished = (await ask(20)).find((event) => event.type === 'finished');
  expect(finished).toMatchObject({ reason: FinishReason.FINISH_REASON_LENGTH, usage: { outputTokens: 20, inputTokens: 8 } });
});

test('a client that leaves, and a deadline that passes, stop Ollama and not just the stream', async () => {
  const cut = ollama.cut;
  const leave = new AbortController();
  const leaving = ask(400, { signal: leave.signal });
  await vi.waitUntil(() => ollama.running === 1);
  leave.abort();
  await expect(leaving).rejects.toMatchObject({ reason: 'CANCELLED' });
  await idle();
  await expect(ask(400, { deadlineMs: 400 })).rejects.toMatchObject({ reason: 'DEADLINE_EXCEEDED' });
  await idle();
  expect(ollama.cut).toBe(cut + 2);
});

test('a prompt that Ollama refuses for its length is CONTEXT_TOO_LONG for the client', async () => {
  const asked = mesh.client.chat({ messages: 'word '.repeat(600), model: MODEL, maxTokens: 5 });
  await expect(asked.next().then(() => asked.next())).rejects.toMatchObject({ reason: 'CONTEXT_TOO_LONG' });
});

test('infermesh ps shows the engine, its version and where the model lies', async () => {
  const { stdout } = await infermesh(['ps', '--json', '--router', mesh.address]);
  const { nodes } = JSON.parse(stdout) as { nodes: { models: object[] }[] };
  expect(nodes[0]?.models[0]).toMatchObject({ name: MODEL, engine: 'ollama', engineVersion: '0.34.0 (50 % GPU)' });
});

test('an Ollama that dies makes its node recover, and it answers when it is back', async () => {
  const { port } = ollama;
  const broken = ask(400);
  const refused = expect(broken).rejects.toMatchObject({ name: 'Fault' });
  await vi.waitUntil(() => ollama.running === 1);
  await ollama[Symbol.asyncDispose]();
  await refused;
  await mesh.until((nodes) => nodes[0]?.state === NodeState.NODE_STATE_RECOVERING);
  ollama = await FakeOllama.start({ port, rate: 200 });
  await mesh.until((nodes) => nodes[0]?.state === NodeState.NODE_STATE_SERVING);
  expect((await ask(3)).at(-1)).toMatchObject({ type: 'finished' });
});

test('a model of vectors is told by Ollama and serves them', async () => {
  await mesh.addNode(nodeOf(ollama, 'all-minilm'));
  const [node] = await mesh.until((nodes) => nodes.some(({ models }) => models[0]?.name === 'all-minilm'));
  expect(node).toBeDefined();
  const { vectors } = await mesh.client.embed(['a dragon', 'a dragon', 'an egg'], { model: 'all-minilm' });
  expect(vectors.map(({ length }) => length)).toEqual([384, 384, 384]);
  expect(vectors[0]).toEqual(vectors[1]);
});

test('texts that nobody waits for any more are read no further', async () => {
  const reading = Promise.withResolvers<ServerResponse>();
  ollama.answer('/api/embed', (_, response) => reading.resolve(response));
  const leave = new AbortController();
  const left = mesh.client.embed(['a text that takes long'], { model: 'all-minilm', signal: leave.signal });
  const cut = once(await reading.promise, 'close');
  const refused = expect(left).rejects.toMatchObject({ reason: 'CANCELLED' });
  leave.abort();
  await Promise.all([cut, refused]);
  ollama.answer('/api/embed');
  const { vectors } = await mesh.client.embed(['another text'], { model: 'all-minilm' });
  expect(vectors).toHaveLength(1);
});
