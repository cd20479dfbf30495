/**
 * The server's writing end of a call that streams to its client, as bytes: messages go in already framed and leave as they are.
 *
 *   open -> ended (trailers sent)      by end() or fail()
 *   open -> gone                       the client cancelled, vanished, or its deadline passed
 *
 * A client that reads nothing never gets its trailers; so much later its stream is reset, and what was held for it freed.
 *
 * After either, every call is allowed and does nothing. What the client has not taken yet is counted by `held`, and
 * `onRelease` tells when it has: the caller's flow control towards its source hangs on these two.
 */
import type { ServerHttp2Stream } from 'node:http2';
import { constants } from 'node:http2';
import type { ServerDuplexStream, ServerWritableStream } from '@grpc/grpc-js';
import { Metadata } from '@grpc/grpc-js';
import type { Fault } from '../contract/faults.ts';
import { messagesOf } from './framing.ts';
import { streamOf } from './grpc-internals.ts';
import { serviceError } from './service-error.ts';

export type RawCall = ServerWritableStream<Buffer, Buffer>;
type Streaming = RawCall | ServerDuplexStream<Buffer, Buffer>;

/** 'http2' writes beneath grpc-js, 'grpc-js' through it; both pass the same tests. */
export type Writer = 'http2' | 'grpc-js';

/** How long a client may take to read the rest of a stream that has ended. */
const LINGER_MS = 30_000;
/** The same for one that has been given up because it does not read. */
const SLOW_LINGER_MS = 1000;

/** What a request needs of the stream that its answer goes to. */
export type ClientStream = Pick<EventStream, 'held' | 'onRelease' | 'onGone' | 'open' | 'write' | 'end' | 'fail'>;

export class EventStream {
  /** Bytes taken by `write` that have not left towards the client. */
  get held(): number {
    return this.#http2?.writableLength ?? this.#heldByGrpc;
  }

  /** Called when a write that asked for notice has left, and everything before it. */
  onRelease: () => void = () => {};
  /** Called once if the client goes before the end. */
  onGone: () => void = () => {};

  readonly #call: Streaming;
  /** Where the bytes go, with the writer 'http2'. */
  readonly #http2: ServerHttp2Stream | undefined;
  readonly #inner: ServerHttp2Stream | undefined;
  #heldByGrpc = 0;
  #headersSent = false;
  #state: 'open' | 'ended' | 'gone' = 'open';
  // One function for all writes: the token path allocates no closure.
  readonly #written = () => {
    if (this.#state === 'open') this.onRelease();
  };

  constructor(call: Streaming, writer: Writer = 'http2') {
    this.#call = call;
    this.#inner = streamOf(call);
    this.#http2 = writer === 'http2' ? this.#inner : undefined;
    const gone = () => {
      if (this.#state !== 'open') return;
      this.#state = 'gone';
      this.#linger(LINGER_MS);
      this.onGone();
    };
    call.once('cancelled', gone);
    call.once('close', gone);
    if (call.cancelled) queueMicrotask(gone);
  }

  get open(): boolean {
    return this.#state === 'open';
  }

  /**
   * Takes one or more whole framed messages.
   * @param notice whether `onRelease` is wanted when these have left; without it a write costs less
   */
  write(data: Buffer, notice = false): void {
    if (this.#state !== 'open') return;
    this.#sendHeaders();
    if (this.#http2) {
      if (this.#http2.destroyed || this.#http2.closed || this.#http2.writableEnded) return;
      this.#http2.write(data, notice ? this.#written : undefined);
      return;
    }
    for (const message of messagesOf(data)) {
      this.#heldByGrpc += message.length;
      this.#call.write(message, () => {
        this.#heldByGrpc -= message.length;
        this.#written();
      });
    }
  }

  /** Ends with status OK and these trailers. */
  end(trailers: Readonly<Record<string, string>> = {}): void {
    if (this.#state !== 'open') return;
    this.#state = 'ended';
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(trailers)) metadata.set(name, value);
    this.#call.end(metadata);
    this.#linger(LINGER_MS);
  }

  /** Ends with the fault's status. */
  fail(fault: Fault): void {
    if (this.#state !== 'open') return;
    this.#state = 'ended';
    this.#call.emit('error', serviceError(fault));
    this.#linger(fault.reason === 'SLOW_CONSUMER' ? SLOW_LINGER_MS : LINGER_MS);
  }

  /** Resets the stream unless it closes by itself in time. */
  #linger(ms: number): void {
    const inner = this.#inner;
    if (!inner || inner.destroyed || inner.closed) return;
    const reset = setTimeout(() => inner.close(constants.NGHTTP2_CANCEL), ms).unref();
    inner.once('close', () => clearTimeout(reset));
  }

  #sendHeaders(): void {
    if (this.#headersSent) return;
    this.#headersSent = true;
    this.#call.sendMetadata(new Metadata());
  }
}
