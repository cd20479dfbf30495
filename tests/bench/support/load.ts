/**
 * The clients of a relay benchmark, in a process of their own: ordinary grpc-js clients with many open chats, which
 * count what comes. Steered by messages: open, mark, close.
 */
import type { ClientReadableStream } from '@grpc/grpc-js';
import { Client, credentials } from '@grpc/grpc-js';
import { ChatRequest } from '../../../proto/gen/infermesh/v1/inference.ts';
import { Role } from '../../../proto/gen/infermesh/v1/types.ts';

export interface Open {
  readonly type: 'open';
  readonly address: string;
  readonly streams: number;
  readonly connections: number;
  readonly maxTokens: number;
  /** The streams open evenly over so long. */
  readonly rampMs: number;
}

export interface Mark {
  readonly type: 'marked';
  /** Since the mark before. */
  readonly tokens: number;
  readonly bytes: number;
  readonly ended: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly firstTokenMs: readonly number[];
  readonly seconds: number;
  readonly open: number;
}

const METHOD = '/infermesh.v1.InferenceService/Chat';
/** First byte of a ChatResponse that holds a delta. */
const DELTA = 0x12;

const clients: Client[] = [];
const calls = new Set<ClientReadableStream<Buffer>>();
let closing = false;
let serial = 0;
let tokens = 0;
let bytes = 0;
let ended = 0;
let errors: Record<string, number> = {};
let firstTokenMs: number[] = [];
let markedAt = performance.now();

function chat(client: Client, maxTokens: number): void {
  if (closing) return;
  const messages = [{ role: Role.ROLE_USER, text: `prompt number ${serial++}` }];
  const request = Buffer.from(ChatRequest.encode(ChatRequest.fromPartial({ messages, maxTokens })).finish());
  const identity = (buffer: Buffer) => buffer;
  const startedAt = performance.now();
  let first = true;
  const call = client.makeServerStreamRequest(METHOD, identity, identity, request, { deadline: Date.now() + 600_000 });
  calls.add(call);
  call.on('data', (message: Buffer) => {
    bytes += message.length;
    if (message[0] !== DELTA) return;
    tokens++;
    if (first) {
      first = false;
      firstTokenMs.push(performance.now() - startedAt);
    }
  });
  call.on('error', () => {});
  call.on('status', ({ code }) => {
    calls.delete(call);
    if (closing) return;
    if (code === 0) ended++;
    else errors[code] = (errors[code] ?? 0) + 1;
    if (code === 0) chat(client, maxTokens);
  });
}

async function open({ address, streams, connections, maxTokens, rampMs }: Open): Promise<void> {
  for (let i = 0; i < connections; i++) {
    const options = { 'grpc.use_local_subchannel_pool': 1, 'grpc-node.flow_control_window': 1024 * 1024 };
    clients.push(new Client(address, credentials.createInsecure(), options));
  }
  for (let i = 0; i < streams; i++) {
    chat(clients[i % connections] as Client, maxTokens);
    if (rampMs > 0 && i % 10 === 9) await new Promise((resolve) => setTimeout(resolve, (rampMs / streams) * 10));
  }
  process.send?.({ type: 'opened' });
}

function mark(): void {
  const now = performance.now();
  const seconds = (now - markedAt) / 1000;
  process.send?.({ type: 'marked', tokens, bytes, ended, errors, firstTokenMs, seconds, open: calls.size } satisfies Mark);
  markedAt = now;
  tokens = 0;
  bytes = 0;
  ended = 0;
  errors = {};
  firstTokenMs = [];
}

process.on('message', (message: Open | { type: 'mark' } | { type: 'close' }) => {
  if (message.type === 'open') void open(message);
  else if (message.type === 'mark') mark();
  else {
    closing = true;
    for (const call of calls) call.cancel();
    for (const client of clients) client.close();
    process.send?.({ type: 'closed' });
  }
});
