/**
 * The server's end of a server-streaming call, as bytes: messages go in already framed and leave as they are.
 *
 *   open -> ended (trailers sent)      by end() or fail()
 *   open -> gone                       the client cancelled, vanished, or its deadline passed
 *
 * After either, every call is allowed and does nothing. What the client has not taken yet is counted by `held`, and
 * `onRelease` tells when it has: the caller's flow control towards its source hangs on these two.
 */
import type { ServerHttp2Stream } from 'node:http2';
import type { ServerWritableStream } from '@grpc/grpc-js';
import { Metadata } from '@grpc/grpc-js';
import type { Fault } from '../contract/faults.ts';
import { messagesOf } from './framing.ts';
import { streamOf } from './grpc-internals.ts';
import { serviceError } from './service-error.ts';

export type RawCall = ServerWritableStream<Buffer, Buffer>;

/** 'http2' writes beneath grpc-js, 'grpc-js' through it; both pass the same tests. */
export type Writer = 'http2' | 'grpc-js';

export class EventStream {
  /** Bytes taken by `write` that have not left towards the client. */
  get held(): number {
    return this.#http2?.writableLength ?? this.#heldByGrpc;
  }

  /** Called when a write that asked for notice has left, and everything before it. */
  onRelease: () => void = () => {};
  /** Called once if the client goes before the end. */
  onGone: () => void = () => {};

  readonly #call: RawCall;
  readonly #http2: ServerHttp2Stream | undefined;
  #heldByGrpc = 0;
  #headersSent = false;
  #state: 'open' | 'ended' | 'gone' = 'open';
  // One function for all writes: the token path allocates no closure.
  readonly #written = () => {
    if (this.#state === 'open') this.onRelease();
  };

  constructor(call: RawCall, writer: Writer = 'http2') {
    this.#call = call;
    this.#http2 = writer === 'http2' ? streamOf(call) : undefined;
    const gone = () => {
      if (this.#state !== 'open') return;
      this.#state = 'gone';
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
      if (this.#http2.destroyed || this.#http2.closed) return;
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
  }

  /** Ends with the fault's status. */
  fail(fault: Fault): void {
    if (this.#state !== 'open') return;
    this.#state = 'ended';
    this.#call.emit('error', serviceError(fault));
  }

  #sendHeaders(): void {
    if (this.#headersSent) return;
    this.#headersSent = true;
    this.#call.sendMetadata(new Metadata());
  }
}
