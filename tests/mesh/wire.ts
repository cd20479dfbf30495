/** gRPC by hand over node:http2, for what no gRPC library would send. */
import { once } from 'node:events';
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import { connect } from 'node:http2';
import type { Fault } from '../../proto/contract/faults.ts';
import { faultOf } from '../../proto/contract/status.ts';
import { ChatRequest, ChatResponse } from '../../proto/gen/infermesh/v1/inference.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import { framed, messagesOf } from '../../proto/transport/framing.ts';

export const CHAT = '/infermesh.v1.InferenceService/Chat';

export interface RawEnd {
  readonly code: number;
  readonly message: string;
  /** grpc-status-details-bin, decoded from base64. */
  readonly details: Buffer;
  readonly fault: Fault;
  readonly trailers: IncomingHttpHeaders;
  /** Everything that came, whole messages. */
  readonly data: Buffer;
}

export class RawConnection implements AsyncDisposable {
  readonly session: ClientHttp2Session;

  constructor(address: string, settings: { initialWindowSize?: number } = {}) {
    this.session = connect(`http://${address}`, { settings });
    // Streams tell of a lost connection themselves.
    this.session.on('error', () => {});
  }

  open(path: string, message: Uint8Array, headers: Readonly<Record<string, string>> = {}): ClientHttp2Stream {
    const stream = this.session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    stream.end(framed(message));
    return stream;
  }

  /** Calls and reads to the end. @throws Error when the connection ends before a status came */
  async call(path: string, message: Uint8Array, headers: Readonly<Record<string, string>> = {}): Promise<RawEnd> {
    return ending(this.open(path, message, headers));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.session.destroyed) return;
    const closed = once(this.session, 'close');
    this.session.destroy();
    await closed;
  }
}

/** Reads a call to its end. */
export async function ending(stream: ClientHttp2Stream): Promise<RawEnd> {
  let last: IncomingHttpHeaders = {};
  const parts: Buffer[] = [];
  stream.on('response', (headers) => {
    last = headers;
  });
  stream.on('trailers', (headers) => {
    last = headers;
  });
  stream.on('data', (part: Buffer) => parts.push(part));
  await once(stream, 'close');
  if (last['grpc-status'] === undefined) throw new Error(`the stream ended without a status (reset code ${stream.rstCode})`);
  const code = Number(last['grpc-status']);
  const message = decodeURIComponent(String(last['grpc-message'] ?? ''));
  const details = Buffer.from(String(last['grpc-status-details-bin'] ?? ''), 'base64');
  return { code, message, details, fault: faultOf(code, message, details), trailers: last, data: Buffer.concat(parts) };
}

export function chatBytes(request: Parameters<typeof ChatRequest.fromPartial>[0] | string): Buffer {
  const partial = typeof request === 'string' ? { messages: [{ role: Role.ROLE_USER, text: request }] } : request;
  return Buffer.from(ChatRequest.encode(ChatRequest.fromPartial(partial)).finish());
}

/** The answer's text in the raw bytes of a chat. */
export function textIn(data: Buffer): string {
  return messagesOf(data)
    .map((message) => ChatResponse.decode(message).event)
    .map((event) => (event?.$case === 'delta' ? event.value.text : ''))
    .join('');
}
