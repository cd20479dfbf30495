/** Two routers with one Redis: what one learns, spends and serves the other knows; without Redis each goes on alone. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { ChatInput, ConnectOptions, Mesh } from '../../client/index.ts';
import { connect } from '../../client/index.ts';
import { digestOfSecret } from '../../proto/transport/join-token.ts';
import type { NodeOptions, RouterMember, TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import type { RedisServer } from '../support/redis.ts';
import { redisOrSkip } from '../support/redis.ts';
import { expectAtRest } from './rest.ts';

const PROMPT = 'please wish Mia a happy birthday';
const KEYS = { bolt: 'a-key-of-bolt-for-tests', ops: 'a-key-of-ops-for-tests' };
const SOON = { timeout: 15_000, interval: 200 };

let folder: string;
let redis: RedisServer;
let mesh: TestMesh;
let other: RouterMember;
const clients: Mesh[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'infermesh-sharing-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeEach(async (context) => {
  redis = await redisOrSkip(context, { ofItsOwn: true });
  const [policy, tenants] = [join(folder, 'policy.yaml'), join(folder, 'tenants.yaml')];
  writeFileSync(policy, 'default: { exploration: 0 }\n');
  const bolt = `{ keys: ["${digestOfSecret(KEYS.bolt)}"], quotas: { requestsPerMinute: 6 } }`;
  writeFileSync(tenants, `tenants:\n  bolt: ${bolt}\n  ops: { keys: ["${digestOfSecret(KEYS.ops)}"], role: admin }\n`);
  const flags = ['--redis', redis.url, '--policy', policy, '--tenants', tenants];
  mesh = await startMesh({ nodes: [], connect: { apiKey: KEYS.ops }, routerFlags: flags });
  other = await mesh.addRouter(flags);
  const node = (id: string): NodeOptions => ({
    id,
    model: id,
    engine: 'replay',
    replay: 'rate=2000,length=3',
    flags: ['--join', other.address, '--as-tier', 'fast', '--watts', '10'],
  });
  await Promise.all([mesh.addNode(node('one')), mesh.addNode(node('two'))]);
  const models = async () => (await other.client.nodes()).flatMap((one) => one.models).length;
  await expect.poll(models, SOON).toBe(2);
  for (const { output } of [mesh.router, other.member]) await expect.poll(output, SOON).toContain('router_seen');
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  // Without a Redis there is no mesh.
  if (mesh) await expectAtRest(mesh);
  await mesh?.[Symbol.asyncDispose]();
  await redis?.[Symbol.asyncDispose]();
});

function as({ address }: { readonly address: string }, options: ConnectOptions): Mesh {
  const client = connect(address, options);
  clients.push(client);
  return client;
}

const quality = async (client: Mesh, model: string) => {
  const { candidates } = await client.explain({ messages: PROMPT });
  return candidates.find((one) => one.model === model)?.objectives?.quality ?? 0;
};

it('ratings given at one change what the other expects, and chooses', async () => {
  const [here, there] = [mesh.client, other.client];
  const best: Partial<ChatInput> = { preference: { quality: 1 } };
  const favourite = (await there.ask({ messages: PROMPT, ...best })).started.model;
  const before = await quality(there, favourite);
  for (let n = 0; n < 12; n++) {
    const { started } = await here.ask({ messages: `${PROMPT} ${n}`, model: favourite });
    await here.feedback(started.requestId, { rating: 0 });
  }
  const now = await quality(here, favourite);
  expect(now).toBeLessThan(before - 0.05);
  await expect.poll(async () => Math.abs((await quality(there, favourite)) - now) < 0.01, SOON).toBe(true);
  expect((await there.ask({ messages: PROMPT, ...best })).started.model).not.toBe(favourite);
});

it('a quota that is used up at one is used up at the other', async () => {
  const [here, there] = [mesh, other].map((router) => as(router, { apiKey: KEYS.bolt })) as [Mesh, Mesh];
  for (let n = 0; n < 6; n++) await here.ask({ messages: `${PROMPT} ${n}`, model: 'one' });
  const refusal = () =>
    there.ask({ messages: PROMPT, model: 'one' }).then(
      () => 'let in',
      ({ reason }) => reason as string,
    );
  let letIn = 0;
  const refused = async () => {
    const how = await refusal();
    if (how === 'let in') letIn++;
    return how;
  };
  await expect.poll(refused, { timeout: 15_000, interval: 300 }).toBe('QUOTA_EXCEEDED');
  // What came before it was heard of, at three a second.
  expect(letIn).toBeLessThan(6);
});

it('conversations go on where they were when they come to another router', async () => {
  const nodes = ['one', 'two'];
  for (const node of nodes) await mesh.client.ask({ messages: PROMPT, sessionId: `with-${node}`, model: node });
  const chosen = async (sessionId: string) => {
    const { candidates } = await other.client.explain({ messages: PROMPT, sessionId });
    return candidates.find((one) => one.chosen)?.node;
  };
  // Neither is better than the other, so that strangers go to both.
  const places = async () => {
    const turns = nodes.flatMap((node) => Array.from({ length: 8 }, async () => (await chosen(`with-${node}`)) === node));
    return (await Promise.all(turns)).every(Boolean);
  };
  await expect.poll(places, SOON).toBe(true);
});

it('with Redis dead both go on, and learn each for itself', async () => {
  const there = other.client;
  await redis.kill();
  for (const { output } of [mesh.router, other.member]) await expect.poll(output, SOON).toContain('redis_down');
  const before = await quality(there, 'one');
  for (let n = 0; n < 12; n++) {
    const { started } = await there.ask({ messages: `${PROMPT} ${n}`, model: 'one' });
    await there.feedback(started.requestId, { rating: 0 });
    await mesh.client.ask({ messages: `${PROMPT} ${n}`, model: 'two' });
  }
  const now = await quality(there, 'one');
  expect(now).toBeLessThan(before - 0.05);
  await redis.restart();
  await expect.poll(async () => Math.abs((await quality(mesh.client, 'one')) - now) < 0.01, SOON).toBe(true);
});
