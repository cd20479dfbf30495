/**
 * A word in every place where somebody can write one, in requests that are answered and in all ways of failing: it stands
 * in no log at its most talkative, no error, no span and no file of the router.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ChatInput, Fault } from '../../client/index.ts';
import { connect } from '../../client/index.ts';
import { BatchRequest, ChatRequest, ResumeRequest } from '../../proto/gen/infermesh/v1/inference.ts';
import { AttachRequest } from '../../proto/gen/infermesh/v1/link.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import { bearer, digestOfSecret } from '../../proto/transport/join-token.ts';
import type { Member, TestMesh } from '../support/mesh.ts';
import { startMember, startMesh, TOKEN } from '../support/mesh.ts';
import type { OtlpReceiver } from '../support/otlp.ts';
import { startOtlpReceiver } from '../support/otlp.ts';
import { FakeNode } from './fake-node.ts';
import { CHAT, RawConnection } from './wire.ts';

const CANARY = 'zebra-quartz-7203-heliotrope';
/** Pieces of it would tell as much. */
const TRACES = [CANARY, 'quartz-7203', Buffer.from(CANARY).toString('base64'), encodeURIComponent(CANARY)];
const KEY = `imk_${CANARY}`;
const LOUD = { INFERMESH_LOG_LEVEL: 'trace' };

const folder = mkdtempSync(join(tmpdir(), 'infermesh-canary-'));
let receiver: OtlpReceiver;
let mesh: TestMesh;
const members: Member[] = [];
const faults: Fault[] = [];

beforeAll(async () => {
  receiver = await startOtlpReceiver();
  const tenants = join(folder, 'tenants.yaml');
  writeFileSync(tenants, `tenants: { canary: { role: admin, keys: ["${digestOfSecret(KEY)}"] } }`);
  const env = { ...receiver.env, ...LOUD };
  mesh = await startMesh({
    routerFlags: ['--tenants', tenants, '--decision-log', join(folder, 'decisions'), '--learned', join(folder, 'learned.json')],
    routerEnv: env,
    connect: { apiKey: KEY },
    nodes: [
      { engine: 'replay', model: 'canned', replay: 'length=20', env },
      { engine: 'replay', model: 'slow', replay: 'rate=20,length=2000', id: 'mortal', env },
      { model: 'stories-15m', id: 'stories', env },
    ],
  });
});
afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]();
  await receiver?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const FULL: ChatInput = {
  messages: [
    { role: 'system', text: `system ${CANARY}` },
    { role: 'user', text: `user ${CANARY} \u{1f993}` },
    { role: 'assistant', text: `assistant ${CANARY}` },
    { role: 'user', text: CANARY },
  ],
  maxTokens: 8,
  stop: [CANARY],
  labels: { [CANARY]: CANARY },
  sessionId: CANARY,
};
const metadata = { 'x-canary': CANARY, baggage: `canary=${CANARY}`, tracestate: `canary=${CANARY}` };

async function ask(input: ChatInput, options = {}): Promise<void> {
  await mesh.client.ask(input, { metadata, ...options }).catch((fault: Fault) => faults.push(fault));
}

const schema = { type: 'object', title: CANARY, properties: { [CANARY]: { type: 'string', enum: [CANARY] } } };
const text = { role: Role.ROLE_USER, text: CANARY };

/** By hand, past the checks of the client library. */
async function callRaw(method: string, message: Uint8Array, headers = {}): Promise<void> {
  await using wire = new RawConnection(mesh.address);
  const {
    fault,
    message: status,
    details,
  } = await wire.call(method, message, { authorization: bearer(KEY), ...metadata, ...headers });
  faults.push(fault);
  expect(`${status}${details.toString('latin1')}`).not.toContain(CANARY);
}

const chat = (partial: Partial<ChatRequest>) => ChatRequest.encode(ChatRequest.fromPartial(partial)).finish();

it('a word in any field stands in no log, error, span or file', async () => {
  for (const model of ['canned', 'stories-15m']) await ask({ ...FULL, model });
  await mesh.client.explain(FULL, { metadata });
  // Answered twice, taken over, and in conflict.
  for (const words of ['', '', 'other ']) {
    await ask({ messages: `${words}${CANARY}`, model: 'canned', idempotencyKey: CANARY });
  }
  // With a schema: one that holds, one that cannot be.
  await ask({ ...FULL, stop: [], model: 'stories-15m', jsonSchema: schema });
  await ask({ ...FULL, model: 'stories-15m', jsonSchema: { type: CANARY, $ref: `#/${CANARY}` } });
  await ask({ ...FULL, model: 'canned', jsonSchema: schema });
  // What is refused.
  await ask({ ...FULL, model: CANARY });
  await ask({ ...FULL, zones: [CANARY] });
  await ask({ ...FULL, model: 'stories-15m', messages: `${CANARY} `.repeat(2000) });
  await ask(FULL, { deadlineMs: 1 });
  const long = CANARY.repeat(20);
  await callRaw(CHAT, chat({ messages: [text], labels: { [CANARY]: long, [`${CANARY} \n`]: long } }));
  await callRaw(
    CHAT,
    chat({ messages: [text], sessionId: long, idempotencyKey: `${CANARY}\u0000`, stop: [long], zones: [long] }),
  );
  await callRaw(CHAT, chat({ messages: [text], target: { $case: 'model', value: `../${CANARY}` }, jsonSchema: `{${CANARY}` }));
  await callRaw(CHAT, Buffer.from(CANARY));
  await callRaw(CHAT, chat({ messages: [text] }), { 'grpc-timeout': CANARY });
  await callRaw(CHAT, chat({ messages: [text] }), { authorization: bearer(`${CANARY}-wrong`) });
  await callRaw(CHAT, chat({ messages: [text] }), { authorization: CANARY });
  await callRaw(CHAT, chat({ messages: [text] }), { traceparent: CANARY });
  const delivered = { model: CANARY, tokenizerDigest: CANARY, tokens: 2, text: CANARY, tokenIds: [1, 2] };
  const resume = ResumeRequest.encode(ResumeRequest.fromPartial({ chat: { messages: [text] }, delivered })).finish();
  await callRaw('/infermesh.v1.InferenceService/Resume', resume);
  await mesh.client.feedback(CANARY, { rating: 1 }).catch((fault: Fault) => faults.push(fault));
  await mesh.client.createJoinToken({ node: `${CANARY}/..` }).catch((fault: Fault) => faults.push(fault));
  // In a batch: answered, refused, and not even that.
  const items = [
    { ...FULL, id: CANARY, model: 'canned' },
    { ...FULL, id: `${CANARY}-refused`, model: CANARY },
    { id: `${CANARY}-texts`, texts: [CANARY] },
  ];
  // Nobody makes vectors here, for which it would wait.
  await (async () => {
    for await (const outcome of mesh.client.batch(items, { metadata, deadlineMs: 3000 })) {
      if (outcome.type === 'failed') faults.push(outcome.fault);
    }
  })().catch((fault: Fault) => faults.push(fault));
  for (const request of [BatchRequest.encode(BatchRequest.fromPartial({ id: `${CANARY} \n` })).finish(), Buffer.from(CANARY)]) {
    await callRaw('/infermesh.v1.InferenceService/Batch', request);
  }
  // Nodes that are not let in.
  for (const token of [CANARY, `imj_${CANARY}`]) {
    using node = new FakeNode(mesh.address, { id: CANARY, token });
    faults.push(await node.ended);
  }
  using node = new FakeNode(mesh.address, { token: TOKEN, id: `${CANARY}!` });
  faults.push(await node.ended);
  await callRaw('/infermesh.v1.LinkService/Attach', AttachRequest.encode({}).finish(), { authorization: bearer(CANARY) });
  const own = ['--token-file', '/nonexistent', '--key-file', join(folder, 'node.pem'), '--id', 'stranger', '--engine', 'replay'];
  const stranger = startMember(
    ['node', '--join', mesh.address, ...own, '--model', 'canned', '--join-token', `imj_${CANARY}`],
    LOUD,
  );
  members.push(stranger);
  await expect.poll(() => stranger.output()).toContain('router_refused');
  await stranger.stop();
  // A node that dies in the middle, and a client that leaves.
  const lost = mesh.client.chat({ ...FULL, maxTokens: 2000, model: 'slow' }, { failover: false });
  for (let i = 0; i < 3; i++) await lost.next();
  await mesh.nodes[1]?.stop('SIGKILL');
  await (async () => {
    for await (const _event of lost);
  })().catch((fault: Fault) => faults.push(fault));
  using stray = connect(mesh.address, { apiKey: KEY });
  const left = stray.chat({ ...FULL, model: 'stories-15m', maxTokens: 200 });
  await left.next();
  await left.return();

  const reasons = new Set(faults.map(({ reason }) => reason));
  for (const reason of [
    'INVALID_REQUEST',
    'MODEL_NOT_FOUND',
    'UNAUTHENTICATED',
    'IDEMPOTENCY_CONFLICT',
    'CONTEXT_TOO_LONG',
  ] as const) {
    expect([...reasons]).toContain(reason);
  }
  await receiver.waitFor((spans) =>
    ['infermesh-router', 'infermesh-node'].every((name) => spans.some(({ service }) => service === name)),
  );
  await mesh[Symbol.asyncDispose]();

  const places: Record<string, string> = {
    errors: faults.map(({ message, violations, facts }) => JSON.stringify({ message, violations, facts })).join('\n'),
    'the log of the router': mesh.router.output(),
    'the logs of nodes': [...mesh.nodes, ...members].map((member) => member.output()).join('\n'),
    spans: receiver.text(),
    files: filesBelow(folder)
      .filter((path) => !path.endsWith('tenants.yaml'))
      .map((path) => `${path}\n${readFileSync(path, 'latin1')}`)
      .join('\n'),
  };
  for (const [place, content] of Object.entries(places)) {
    expect(content.length, place).toBeGreaterThan(100);
    for (const trace of TRACES) expect(content.includes(trace), `${trace} in ${place}:\n${around(content, trace)}`).toBe(false);
  }
}, 120_000);

function filesBelow(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path).flatMap((name) => filesBelow(join(path, name)));
}

function around(content: string, trace: string): string {
  const at = content.indexOf(trace);
  return at < 0 ? '' : content.slice(Math.max(0, at - 300), at + 300);
}
