/** A node whose engine is a server with the API of OpenAI, as processes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import type { Fault } from '../../client/index.ts';
import { NodeState } from '../../client/index.ts';
import { Code } from '../../proto/contract/faults.ts';
import type { NodeOptions } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import type { OpenAiServer, Script } from '../support/openai-server.ts';
import { refuse, startOpenAiServer } from '../support/openai-server.ts';
import { freePort } from '../support/ports.ts';

const KEY = 'sk-a-key-that-nobody-may-see';
const CHAT = { messages: 'Once upon a time', maxTokens: 12 };

function nodeFor({ url }: Pick<OpenAiServer, 'url'>, ...flags: string[]): NodeOptions {
  return { model: 'borrowed', flags: ['--engine', 'openai', '--openai-url', url, ...flags] };
}

test('an answer comes from the server through the mesh, and its key is shown to nobody else', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'infermesh-test-'));
  writeFileSync(join(folder, 'key'), `${KEY}\n`, { mode: 0o600 });
  await using server = await startOpenAiServer({ key: KEY, models: ['maker/borrowed'] });
  const node = nodeFor(
    server,
    '--openai-model',
    'maker/borrowed',
    '--openai-key-file',
    join(folder, 'key'),
    '--output-price',
    '2',
  );
  await using mesh = await startMesh({ nodes: [{ ...node, env: { INFERMESH_LOG_LEVEL: 'trace' } }] });
  const [listed] = await mesh.until((nodes) => nodes.some(({ models }) => models.length > 0));
  expect(listed?.models[0]).toMatchObject({ name: 'borrowed', engine: 'openai', engineVersion: 'vllm 0.11.0', resumes: true });
  const { text, finished } = await mesh.client.ask({ ...CHAT, model: 'borrowed' });
  expect(text.length).toBeGreaterThan(20);
  expect(finished).toMatchObject({ usage: { outputTokens: 12 } });
  expect(new Set(server.keys)).toEqual(new Set([`Bearer ${KEY}`]));
  expect(mesh.nodes[0]?.output() + mesh.router.output()).not.toContain(KEY);
  rmSync(folder, { recursive: true });
});

test('what the server does not take is said once in the log of its node', async () => {
  await using server = await startOpenAiServer({ form: 'openai', models: ['borrowed'] });
  await using mesh = await startMesh({ nodes: [nodeFor(server)] });
  const sampling = { topK: 5, temperature: 1 };
  for (let i = 0; i < 2; i++) await mesh.client.ask({ ...CHAT, model: 'borrowed', sampling, messages: `story ${i}` });
  const told = () => mesh.nodes[0]?.output().match(/.*engine_warned.*/g) ?? [];
  await vi.waitUntil(() => told().length > 0);
  expect(told()).toEqual([expect.stringContaining('the server takes no top_k: requests go without it')]);
});

test('a 429 with retry-after sends requests elsewhere, or back with the time, and nothing to that server until then', async () => {
  await using server = await startOpenAiServer({ models: ['borrowed'] });
  await using mesh = await startMesh({ nodes: [nodeFor(server)] });
  const enough: Script = (response) => refuse(response, 429, { message: 'slow down' }, { 'retry-after': '600' });
  server.script(enough);
  const ask = (messages: string) => mesh.client.ask({ ...CHAT, messages, model: 'borrowed' }, { failover: false });
  const refused = await ask('first').catch((fault: Fault) => fault);
  expect(refused).toMatchObject({ reason: 'QUEUE_FULL', code: Code.RESOURCE_EXHAUSTED, retryAfterMs: 600_000 });
  const asked = server.chats.length;
  const again = (await ask('second').catch((fault: Fault) => fault)) as Fault;
  expect(again).toMatchObject({ reason: 'QUEUE_FULL', message: expect.stringMatching(/it may be asked again in \d+ s$/) });
  expect(again.retryAfterMs).toBeGreaterThan(60_000);
  expect(again.retryAfterMs).toBeLessThanOrEqual(600_000);
  expect(server.chats.length).toBe(asked);
  // Another server with the model takes over.
  await using other = await startOpenAiServer({ models: ['borrowed'] });
  await mesh.addNode(nodeFor(other));
  await mesh.until((nodes) => nodes.filter(({ state }) => state === NodeState.NODE_STATE_SERVING).length === 2);
  expect((await ask('third')).finished).toMatchObject({ usage: { outputTokens: 12 } });
  expect(server.chats.length).toBe(asked);
  const { candidates } = await mesh.client.explain({ ...CHAT, model: 'borrowed' });
  expect(candidates.map(({ exclusion }) => exclusion)).toContainEqual(expect.stringMatching(/asked again in \d+ s/));
}, 60_000);

test('a server that has enough for a moment is waited for', async () => {
  await using server = await startOpenAiServer({ models: ['borrowed'] });
  await using mesh = await startMesh({ nodes: [nodeFor(server)] });
  const before = server.chats.length;
  server.script((response) => refuse(response, 429, { message: 'slow down' }, { 'retry-after-ms': '300' }));
  const { finished } = await mesh.client.ask({ ...CHAT, model: 'borrowed' }, { failover: false });
  expect(finished).toMatchObject({ usage: { outputTokens: 12 } });
  expect(server.chats.length).toBe(before + 2);
});

test('a node waits for a server that is not there yet, and again when it goes away', async () => {
  const port = await freePort();
  await using mesh = await startMesh({ nodes: [] });
  const added = mesh.addNode(nodeFor({ url: `http://127.0.0.1:${port}/v1` }));
  await mesh.until((nodes) => nodes.some(({ state }) => state === NodeState.NODE_STATE_RECOVERING));
  const first = await startOpenAiServer({ port, models: ['borrowed'] });
  await added;
  await first.die();
  await mesh.until((nodes) => nodes.some(({ state }) => state === NodeState.NODE_STATE_RECOVERING));
  await using _second = await startOpenAiServer({ port, models: ['borrowed'] });
  await mesh.until((nodes) => nodes.some(({ state }) => state === NodeState.NODE_STATE_SERVING));
  const { text } = await mesh.client.ask({ ...CHAT, model: 'borrowed' });
  expect(text.length).toBeGreaterThan(20);
}, 60_000);
