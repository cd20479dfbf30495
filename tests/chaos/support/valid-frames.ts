/** What a mutation begins from: right messages of every method, right frames of the link, right bytes of a connection. */
import { once } from 'node:events';
import { connect as dial } from 'node:http2';
import { createServer } from 'node:net';
import { WatchNodesRequest } from '../../../proto/gen/infermesh/v1/admin.ts';
import { ChatRequest, FeedbackRequest, ResumeRequest } from '../../../proto/gen/infermesh/v1/inference.ts';
import { AttachRequest, AttachResponse } from '../../../proto/gen/infermesh/v1/link.ts';
import { Role } from '../../../proto/gen/infermesh/v1/types.ts';
import { framed } from '../../../proto/transport/framing.ts';

const SERVICE = '/infermesh.v1.InferenceService';
const ADMIN = '/infermesh.v1.AdminService';
export const ATTACH = '/infermesh.v1.LinkService/Attach';

const chat = {
  messages: [
    { role: Role.ROLE_SYSTEM, text: 'Be brief, naïve été 森.' },
    { role: Role.ROLE_USER, text: 'hello 🐉' },
  ],
  sampling: { temperature: 0.5, topK: 40, seed: 7 },
  maxTokens: 8,
  stop: ['\n\n', 'END'],
  preference: { cost: 0.5, quality: 1, latency: 0.25, diversity: 0 },
  sessionId: 'session-1',
  labels: { team: 'a', job: 'b' },
  limits: { maxCostUsd: 1, maxLatencyMs: 60_000 },
  zones: ['here', ''],
};

const bytes = (encoded: { finish(): Uint8Array }) => Buffer.from(encoded.finish());
const chatMessage = bytes(ChatRequest.encode(ChatRequest.fromPartial(chat)));
const delivered = { model: 'canned', tokenizerDigest: 'sha256:00', tokens: 2, text: 'a b', tokenIds: [1, 2] };
const resumeMessage = bytes(ResumeRequest.encode(ResumeRequest.fromPartial({ chat, delivered })));

/** By method, messages without their gRPC prefix. */
export const REQUESTS: Readonly<Record<string, readonly Buffer[]>> = {
  [`${SERVICE}/Chat`]: [chatMessage],
  [`${SERVICE}/Resume`]: [resumeMessage],
  [`${SERVICE}/Explain`]: [Buffer.concat([Buffer.from([0x0a, chatMessage.length & 0x7f]), chatMessage])],
  [`${SERVICE}/Feedback`]: [bytes(FeedbackRequest.encode(FeedbackRequest.fromPartial({ requestId: 'x', rating: 0.5 })))],
  [`${ADMIN}/ListNodes`]: [Buffer.alloc(0)],
  [`${ADMIN}/WatchNodes`]: [bytes(WatchNodesRequest.encode({ intervalMs: 100 }))],
  [`${ADMIN}/GetStats`]: [Buffer.alloc(0)],
  '/grpc.health.v1.Health/Check': [Buffer.from([0x0a, 0x01, 0x61])],
  '/infermesh.v1.InferenceService/NoSuchMethod': [chatMessage],
};

const fromNode = (frame: Parameters<typeof AttachRequest.fromPartial>[0]['frame']) =>
  bytes(AttachRequest.encode(AttachRequest.fromPartial({ frame: frame as never })));
const fromRouter = (frame: Parameters<typeof AttachResponse.fromPartial>[0]['frame']) =>
  bytes(AttachResponse.encode(AttachResponse.fromPartial({ frame: frame as never })));

const hello = {
  nodeId: 'mutant',
  epoch: 1,
  version: '1',
  zone: 'z',
  labels: { a: 'b' },
  hardware: { cores: 2, cpuFeatures: ['avx2'] },
};
const model = {
  name: 'mutant',
  slots: 4,
  contextLength: 4096,
  digest: 'sha256:00',
  tasks: ['chat'],
  price: { inputUsdPerMillion: 1 },
};
const load = { model: 'mutant', freeSlots: 4, running: 0, queued: 0, queuedPromptTokens: 0, kvCacheUse: 0.5 };
const ended = { request: 1, epoch: 1, tokens: 1, outcome: { $case: 'finish', value: { reason: 1 } } };

export const HELLO = fromNode({ $case: 'hello', value: hello } as never);
/** What a node says to a router. */
export const NODE_FRAMES: readonly Buffer[] = [
  HELLO,
  fromNode({ $case: 'inventory', value: { models: [model] } } as never),
  fromNode({ $case: 'report', value: { state: 2, loads: [load], memoryUsedBytes: 1e9, cpuUse: 0.5 } } as never),
  fromNode({
    $case: 'progress',
    value: {
      request: [1],
      epoch: [1],
      seq: [0],
      tokens: [1],
      size: [9],
      data: framed(Buffer.from([0x12, 2, 0x1a, 0])),
      ended: [ended],
    },
  } as never),
  fromNode({
    $case: 'report',
    value: {
      state: 2,
      loads: [{ ...load, state: 5, loadMs: 4000 }],
      gpus: [{ use: 0.5, memoryUsedBytes: 1e9, temperature: 61, power: 58 }],
      pressure: { level: 2, use: 0.87, limitBytes: 8e9, steps: ['unload'] },
    },
  } as never),
  fromNode({ $case: 'modelProgress', value: { command: 1, stage: 3, fraction: 0.5 } } as never),
  fromNode({ $case: 'embedded', value: { request: 1, vectors: [{ values: [0.6, 0.8] }], inputTokens: 3 } } as never),
];
const work = { request: 1, epoch: 1, model: 'canned', messages: chat.messages, sampling: chat.sampling, maxTokens: 8 };
/** What a router says to a node. */
export const ROUTER_FRAMES: readonly Buffer[] = [
  fromRouter({ $case: 'welcome', value: { routerId: 'mutant', reportIntervalMs: 1000 } } as never),
  fromRouter({ $case: 'work', value: { ...work, creditBytes: 16_384, deadlineMs: 1000, traceparent: '' } } as never),
  fromRouter({ $case: 'work', value: { ...work, request: 2, creditBytes: 64, deadlineMs: 500, delivered } } as never),
  fromRouter({ $case: 'cancel', value: { request: 1, epoch: 1 } } as never),
  fromRouter({ $case: 'credit', value: { request: 1, epoch: 1, bytes: 100 } } as never),
  fromRouter({
    $case: 'modelCommand',
    value: { command: 1, action: { $case: 'load', value: { model: 'canned', slots: 2, onDemand: true } } },
  } as never),
  fromRouter({
    $case: 'modelCommand',
    value: { command: 2, action: { $case: 'swap', value: { from: 'canned', to: 'other', limitMs: 100 } } },
  } as never),
  fromRouter({ $case: 'embed', value: { request: 1, model: 'canned', texts: ['a', 'naïve 森'], deadlineMs: 1000 } } as never),
];

/** The bytes of an HTTP/2 connection with two calls on it, as a client sends them before it hears anything. */
export async function connectionBytes(): Promise<Buffer> {
  const parts: Buffer[] = [];
  const sink = createServer((socket) => socket.on('data', (part) => parts.push(part)).on('error', () => {}));
  sink.listen(0, '127.0.0.1');
  await once(sink, 'listening');
  const session = dial(`http://127.0.0.1:${(sink.address() as { port: number }).port}`);
  session.on('error', () => {});
  for (const path of [`${SERVICE}/Chat`, `${ADMIN}/GetStats`]) {
    const headers = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' };
    session
      .request(headers)
      .on('error', () => {})
      .end(framed(chatMessage));
  }
  await once(session, 'connect');
  while (parts.reduce((sum, part) => sum + part.length, 0) < 200) await new Promise((resolve) => setTimeout(resolve, 10));
  await new Promise((resolve) => setTimeout(resolve, 50));
  session.destroy();
  sink.close();
  return Buffer.concat(parts);
}
