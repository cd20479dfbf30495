/** The kinds of call that services of the mesh have, from grpc-js' shape to ours. */
import type * as grpc from '@grpc/grpc-js';
import type { Fault } from '../contract/faults.ts';
import { invalid } from '../contract/faults.ts';
import type { RawCall, Writer } from './event-stream.ts';
import { EventStream } from './event-stream.ts';
import { UNREADABLE_TIMEOUT } from './grpc-internals.ts';
import { Incoming } from './incoming.ts';
import type { MessageType } from './messages.ts';
import { decodeRequest, encodeMessage } from './messages.ts';
import { namesIn } from './pem.ts';
import { serviceError } from './service-error.ts';

/** What a handler may know of the call around its request. */
export interface CallContext {
  /** First value of a metadata key, as text. */
  metadata(name: string): string | undefined;
  /** Milliseconds left of the caller's deadline; undefined when it set none. */
  readonly remainingMs: number | undefined;
  /** DNS and URI names in the caller's certificate, where the transport has checked one; else none. */
  certificateNames(): readonly string[];
  /** Aborted when the caller is gone; undefined where its stream tells that. */
  readonly signal?: AbortSignal;
}

export interface UnaryHandler {
  readonly kind: 'unary';
  readonly handle: (bytes: Buffer, context: CallContext) => Promise<Buffer> | Buffer;
}

export interface StreamHandler {
  readonly kind: 'stream';
  /** Owns `stream` and must end it; a throw ends it too. */
  readonly handle: (bytes: Buffer, stream: EventStream, context: CallContext) => Promise<void> | void;
}

export type RawDuplex = grpc.ServerDuplexStream<Buffer, Buffer>;

/** Reads and writes by itself. */
export interface BidiHandler {
  readonly kind: 'bidi';
  readonly handle: (call: RawDuplex, context: CallContext) => void;
}

export interface ExchangeHandler {
  readonly kind: 'exchange';
  /** Owns `stream` and must end it; a throw ends it too. */
  readonly handle: (requests: Incoming, stream: EventStream, context: CallContext) => Promise<void>;
}

export function unary<Req, Res>(
  request: MessageType<Req>,
  response: MessageType<Res>,
  name: string,
  handle: (request: Req, context: CallContext) => Promise<Res> | Res,
): UnaryHandler {
  return {
    kind: 'unary',
    handle: async (bytes, context) => encodeMessage(response, await handle(decodeRequest(request, name, bytes), context)),
  };
}

export function serverStream<Req>(
  request: MessageType<Req>,
  name: string,
  handle: (request: Req, stream: EventStream, context: CallContext) => Promise<void> | void,
): StreamHandler {
  return { kind: 'stream', handle: (bytes, stream, context) => handle(decodeRequest(request, name, bytes), stream, context) };
}

type Caught = (thrown: unknown) => Fault;

export function unaryCall(handler: UnaryHandler, caught: Caught): grpc.handleUnaryCall<Buffer, Buffer> {
  return async (call, callback) => {
    try {
      callback(null, await handler.handle(call.request, { ...contextOf(call), signal: signalOf(call) }));
    } catch (thrown) {
      callback(serviceError(caught(thrown)));
    }
  };
}

export function streamCall(
  handler: StreamHandler,
  caught: Caught,
  writer: Writer,
): grpc.handleServerStreamingCall<Buffer, Buffer> {
  return async (call: RawCall) => {
    const stream = new EventStream(call, writer);
    try {
      await handler.handle(call.request, stream, contextOf(call));
    } catch (thrown) {
      stream.fail(caught(thrown));
    }
  };
}

export function exchangeCall(
  handler: ExchangeHandler,
  caught: Caught,
  writer: Writer,
): grpc.handleBidiStreamingCall<Buffer, Buffer> {
  return async (call) => {
    const stream = new EventStream(call, writer);
    try {
      await handler.handle(new Incoming(call), stream, contextOf(call));
    } catch (thrown) {
      stream.fail(caught(thrown));
    }
  };
}

export function bidiCall(handler: BidiHandler, caught: Caught): grpc.handleBidiStreamingCall<Buffer, Buffer> {
  return (call) => {
    try {
      handler.handle(call, contextOf(call));
    } catch (thrown) {
      call.emit('error', serviceError(caught(thrown)));
    }
  };
}

function signalOf(call: grpc.ServerUnaryCall<Buffer, Buffer>): AbortSignal {
  const left = new AbortController();
  call.once('cancelled', () => left.abort());
  return left.signal;
}

interface AnyCall {
  readonly metadata: grpc.Metadata;
  getAuthContext(): { readonly sslPeerCertificate?: { readonly subjectaltname?: string | undefined } };
  getDeadline(): grpc.Deadline;
}

/** @throws Fault INVALID_REQUEST when the caller's deadline can't be read */
function contextOf(call: AnyCall): CallContext {
  if (call.metadata.get(UNREADABLE_TIMEOUT).length > 0) {
    const description = 'must be up to 8 digits and one of H, M, S, m, u, n, received something else';
    throw invalid([{ field: 'grpc-timeout', description }]);
  }
  const deadline = call.getDeadline();
  const at = deadline instanceof Date ? deadline.getTime() : deadline;
  return {
    metadata: (name) => call.metadata.get(name)[0]?.toString(),
    remainingMs: Number.isFinite(at) ? at - Date.now() : undefined,
    certificateNames: () => namesIn(call.getAuthContext().sslPeerCertificate?.subjectaltname),
  };
}
