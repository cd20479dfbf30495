/** What tenants send stands nowhere in the clear that is kept: neither in Redis, nor in logs, spans and files. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'vitest';
import { expect, it } from 'vitest';
import type { ChatInput, Fault, Mesh } from '../../client/index.ts';
import { CacheServiceService, GetEvidenceRequest, PutEvidenceRequest } from '../../proto/gen/infermesh/v1/cache.ts';
import { FeedbackRequest, ResumeRequest } from '../../proto/gen/infermesh/v1/inference.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import { bearer, digestOfSecret } from '../../proto/transport/join-token.ts';
import { Folder } from '../support/folder.ts';
import { startMesh } from '../support/mesh.ts';
import { startOtlpReceiver } from '../support/otlp.ts';
import { redisOrSkip } from '../support/redis.ts';
import { CHAT, chatBytes, RawConnection } from './wire.ts';

const canned = { engine: 'replay', model: 'canned', replay: 'rate=0,length=20', slots: 64 } as const;
const CANARY = 'walrus-nimbus-5519-marzipan';
/** Pieces of it would tell as much. */
const TRACES = [CANARY, 'nimbus-5519', Buffer.from(CANARY).toString('base64').slice(0, -2), encodeURIComponent(`${CANARY}!`)];
const KEY = `imk_${CANARY}`;

const FULL: ChatInput = {
  messages: [
    { role: 'system', text: `system ${CANARY}` },
    { role: 'user', text: `user ${CANARY} \u{1f993}` },
    { role: 'assistant', text: `assistant ${CANARY}` },
    { role: 'user', text: `How do I reset the password of ${CANARY}?` },
  ],
  sampling: { temperature: 0 },
  maxTokens: 40,
  stop: [CANARY],
  labels: { [CANARY]: CANARY },
  sessionId: CANARY,
  cache: { semantic: true },
};

/** Everything that goes into the cache, and is looked for there; then what is refused on the way. */
async function fill(mesh: Mesh, address: string): Promise<void> {
  const refused = ({ message, violations, facts }: Fault) => {
    expect(JSON.stringify({ message, violations, facts })).not.toContain(CANARY);
  };
  const asked = async (input: ChatInput) => {
    const answer = await mesh.ask(input).catch(refused);
    if (answer) await mesh.feedback(answer.started.requestId, { rating: 1 }).catch(refused);
  };
  for (let n = 0; n < 2; n++) {
    await asked(FULL);
    await asked({ ...FULL, model: 'canned' });
    await asked({ ...FULL, cache: { sampled: true, paced: true, ttlSeconds: 60 }, sampling: { temperature: 1 } });
    await asked({ ...FULL, messages: `How can I reset the password of ${CANARY}?`, idempotencyKey: `${CANARY}-${n}` });
    await asked({ ...FULL, jsonSchema: { type: 'object', title: CANARY, properties: { [CANARY]: { const: CANARY } } } });
    await asked({ ...FULL, model: CANARY, zones: [CANARY] });
    await asked({ ...FULL, cache: { mode: 'only-if-cached' }, messages: `${CANARY} ${n}` });
  }
  const chunk = { text: CANARY, source: CANARY, score: 1, metadata: { [CANARY]: CANARY } };
  await mesh.evidence.put(CANARY, [chunk, chunk], { ttlSeconds: 600 });
  expect((await mesh.evidence.get(CANARY))?.chunks[0]?.text).toBe(CANARY);
  await mesh.evidence.put(`${CANARY} to delete`, [chunk]);
  await mesh.evidence.delete(`${CANARY} to delete`);
  await mesh.feedback(CANARY, { rating: 1 }).catch(refused);
  await fillByHand(address, { authorization: bearer(KEY), 'x-canary': CANARY, baggage: `canary=${CANARY}` });
}

/** Past the checks of the client library. */
async function fillByHand(address: string, headers: Readonly<Record<string, string>>): Promise<void> {
  await using wire = new RawConnection(address);
  const call = async (path: string, message: Uint8Array, more = {}) => {
    const { message: status, details } = await wire.call(path, message, { ...headers, ...more });
    expect(`${status}${details.toString('latin1')}`).not.toContain(CANARY);
  };
  const long = CANARY.repeat(50);
  const { putEvidence, getEvidence } = CacheServiceService;
  const chunks = [{ text: CANARY, source: long, score: Number.NaN, metadata: { [long]: long } }];
  await call(
    putEvidence.path,
    PutEvidenceRequest.encode(PutEvidenceRequest.fromPartial({ key: long, evidence: { chunks } })).finish(),
  );
  await call(getEvidence.path, GetEvidenceRequest.encode(GetEvidenceRequest.fromPartial({ keys: [long, CANARY] })).finish());
  const messages = [{ role: Role.ROLE_USER, text: CANARY }];
  const delivered = { model: 'canned', tokenizerDigest: CANARY, tokens: 2, text: CANARY, tokenIds: [1, 2] };
  const resume = ResumeRequest.fromPartial({ chat: { messages, sampling: { temperature: 0 } }, delivered });
  await call('/infermesh.v1.InferenceService/Resume', ResumeRequest.encode(resume).finish());
  const rating = FeedbackRequest.fromPartial({ requestId: `${CANARY}\n`, rating: 7 });
  await call('/infermesh.v1.InferenceService/Feedback', FeedbackRequest.encode(rating).finish());
  await call(CHAT, chatBytes({ messages, sessionId: `${CANARY}\r\n`, labels: { [`im1:${CANARY}`]: long } }));
  await call(CHAT, chatBytes({ messages }), { authorization: bearer(`${CANARY}-wrong`) });
}

it('a word in any field stands in no name and no value of Redis, no log, no span and no file', async (context: TestContext) => {
  await using redis = await redisOrSkip(context, { ofItsOwn: true, args: ['--rdbcompression', 'no'] });
  await using receiver = await startOtlpReceiver();
  using folder = new Folder();
  const tenants = folder.file('tenants.yaml', `tenants: { canary: { role: admin, keys: ["${digestOfSecret(KEY)}"] } }`);
  const env = { ...receiver.env, INFERMESH_LOG_LEVEL: 'trace' };
  const kept = ['--decision-log', join(folder.path, 'decisions'), '--learned', join(folder.path, 'learned.json')];
  const flags = ['--tenants', tenants, '--redis', redis.url, ...kept];
  const mesh = await startMesh({ nodes: [], routerFlags: flags, routerEnv: env, connect: { apiKey: KEY } });
  const other = await mesh.addRouter(['--tenants', tenants, '--redis', redis.url]);
  const join2 = ['--join', other.address];
  const nodes = await Promise.all([
    mesh.addNode({ ...canned, env, flags: join2 }),
    mesh.addNode({ engine: 'replay', model: 'vectors', id: 'vectors', replay: 'embed=32', env, flags: join2 }),
  ]);
  let snapshot: string;
  try {
    await expect.poll(async () => (await other.client.nodes()).length).toBe(2);
    await fill(mesh.client, mesh.address);
    await fill(other.client, other.address);
    const { layers } = await other.client.cacheStats();
    expect(layers.reduce((sum, { hitsMemory }) => sum + hitsMemory, 0)).toBeGreaterThan(0);
    expect(layers.reduce((sum, { hitsRedis }) => sum + hitsRedis, 0)).toBeGreaterThan(0);
    const kinds = async () => new Set(((await redis.call('KEYS', 'im1:*')) as string[]).map((name) => name.slice(0, 6)));
    await expect
      .poll(async () => [...(await kinds())].toSorted())
      .toEqual(expect.arrayContaining(['im1:a:', 'im1:c:', 'im1:e:']));
    // As it is in memory: not a value of it is compressed.
    await redis.call('SAVE');
    const [, place = ''] = (await redis.call('CONFIG', 'GET', 'dir')) as string[];
    snapshot = readFileSync(join(place, 'dump.rdb'), 'latin1');
    await receiver.waitFor((spans) => spans.some(({ service }) => service === 'infermesh-router'));
  } finally {
    await mesh[Symbol.asyncDispose]();
  }
  const places: Record<string, string> = {
    'names and values of Redis': snapshot,
    'the logs of routers': mesh.router.output() + other.member.output(),
    'the logs of nodes': nodes.map((node) => node.output()).join('\n'),
    spans: receiver.text(),
    files: filesBelow(folder.path)
      .filter((path) => path !== tenants)
      .map((path) => readFileSync(path, 'latin1'))
      .join('\n'),
  };
  for (const [where, content] of Object.entries(places)) {
    expect(content.length, where).toBeGreaterThan(100);
    for (const trace of TRACES) expect(content.includes(trace), `${trace} in ${where}:\n${around(content, trace)}`).toBe(false);
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
