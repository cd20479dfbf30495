/** The connection to one router, and the calls on it with their errors as faults. */
import type { ClientDuplexStream, ClientReadableStream, ClientUnaryCall, ServiceError } from '@grpc/grpc-js';
import { connectivityState, Metadata } from '@grpc/grpc-js';
import { Code, Fault, toFault } from '../proto/contract/faults.ts';
import type { ControlModelRequest, ControlModelResponse, WatchNodesResponse } from '../proto/gen/infermesh/v1/admin.ts';
import { AdminServiceClient } from '../proto/gen/infermesh/v1/admin.ts';
import { CacheServiceClient } from '../proto/gen/infermesh/v1/cache.ts';
import type {
  BatchRequest,
  BatchResponse,
  ChatRequest,
  ChatResponse,
  ResumeRequest,
} from '../proto/gen/infermesh/v1/inference.ts';
import { InferenceServiceClient } from '../proto/gen/infermesh/v1/inference.ts';
import type { DialOptions } from '../proto/transport/channel.ts';
import { channelOptions, checkDial, credentialsFor } from '../proto/transport/channel.ts';
import { DETAILS, faultOfStatus } from '../proto/transport/service-error.ts';

/** How long a connection may take where another router could be asked instead. */
const CONNECT_LIMIT_MS = 1000;
/** A router that stands still is found within the sum of the two, and its streams go on elsewhere. */
const KEEPALIVE_MS = 500;
/** More than a busy router takes for one turn of its event loop. */
const KEEPALIVE_TIMEOUT_MS = 1000;

export interface CallFacts {
  readonly metadata: Metadata;
  /** Milliseconds since 1970. */
  readonly deadline: number;
  readonly signal?: AbortSignal | undefined;
}

type Done<T> = (error: ServiceError | null, response: T) => void;
type CallOptions = Pick<CallFacts, 'deadline'>;
interface Stubs {
  readonly inference: InferenceServiceClient;
  readonly admin: AdminServiceClient;
  readonly cache: CacheServiceClient;
}
/** One method of a stub. */
export type Start<T> = (stubs: Stubs, metadata: Metadata, options: CallOptions, done: Done<T>) => ClientUnaryCall;

export class Router {
  readonly address: string;
  readonly #inference: InferenceServiceClient;
  readonly #admin: AdminServiceClient;
  readonly #cache: CacheServiceClient;
  readonly #alone: boolean;

  /** @param alone there is no other one to turn to */
  constructor(address: string, options: DialOptions, alone: boolean) {
    this.address = address;
    this.#alone = alone;
    checkDial(address, options);
    const credentials = credentialsFor(options);
    const settings = alone ? channelOptions(options) : watchful(options);
    this.#inference = new InferenceServiceClient(address, credentials, settings);
    this.#admin = new AdminServiceClient(address, credentials, settings);
    this.#cache = new CacheServiceClient(address, credentials, settings);
  }

  /** Resolves when it answers. @throws Fault UNREACHABLE after `timeoutMs` */
  ready(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#inference.waitForReady(Date.now() + timeoutMs, (error) => {
        if (error) reject(new Fault('UNREACHABLE', `no router answers at ${this.address}`, { cause: error }));
        else resolve();
      });
    });
  }

  chat(request: ChatRequest, { metadata, deadline }: CallFacts): Streaming<ChatResponse> {
    return this.#streaming(this.#inference.chat(request, metadata, { deadline }));
  }

  resume(request: ResumeRequest, { metadata, deadline }: CallFacts): Streaming<ChatResponse> {
    return this.#streaming(this.#inference.resume(request, metadata, { deadline }));
  }

  batch({ metadata, deadline }: CallFacts): Exchange<BatchRequest, BatchResponse> {
    const call = this.#inference.batch(metadata, { deadline });
    return new Exchange(call, new Ending(call, this.#connectLimit(call)));
  }

  watchNodes(intervalMs: number): Streaming<WatchNodesResponse> {
    return this.#streaming(this.#admin.watchNodes({ intervalMs }));
  }

  controlModel(request: ControlModelRequest): Streaming<ControlModelResponse> {
    return this.#streaming(this.#admin.controlModel(request));
  }

  /** @throws Fault */
  ask<T>(start: Start<T>, { metadata, deadline, signal }: CallFacts): Promise<T> {
    return new Promise((resolve, reject) => {
      const done: Done<T> = (error, response) => {
        signal?.removeEventListener('abort', abort);
        ended.stop();
        if (error) reject(ended.fault(error));
        else resolve(response);
      };
      const stubs = { inference: this.#inference, admin: this.#admin, cache: this.#cache };
      const call = start(stubs, metadata, { deadline }, done);
      const ended = new Ending(call, this.#connectLimit(call));
      const abort = () => ended.cancel();
      signal?.addEventListener('abort', abort, { once: true });
      if (signal?.aborted) abort();
    });
  }

  close(): void {
    this.#inference.close();
    this.#admin.close();
    this.#cache.close();
  }

  #streaming<T>(call: ClientReadableStream<T>): Streaming<T> {
    return new Streaming(call, new Ending(call, this.#connectLimit(call)));
  }

  #connectLimit(call: Cancellable): ConnectLimit | undefined {
    if (this.#alone) return undefined;
    return new ConnectLimit(this.address, call, () => this.#inference.getChannel().getConnectivityState(false));
  }
}

/** A call that gives several messages. */
export class Streaming<T> {
  readonly messages: AsyncIterable<T>;
  readonly #ending: Ending;

  constructor(call: ClientReadableStream<T>, ending: Ending) {
    this.messages = call as ClientReadableStream<T> & AsyncIterable<T>;
    this.#ending = ending;
  }

  /** Also to be called when it has ended. */
  cancel(): void {
    this.#ending.cancel();
  }

  /** What came out of the iteration. */
  fault(thrown: unknown): Fault {
    return this.#ending.fault(thrown);
  }
}

/** A call that takes several messages as well. */
export class Exchange<Req, Res> extends Streaming<Res> {
  readonly #call: ClientDuplexStream<Req, Res>;
  #over = false;
  #wake: () => void = () => {};

  constructor(call: ClientDuplexStream<Req, Res>, ending: Ending) {
    super(call, ending);
    this.#call = call;
    call.on('drain', () => this.#wake());
    call.once('status', () => this.#end());
  }

  /** It takes more. */
  get isOpen(): boolean {
    return !this.#over;
  }

  /** Resolves when another one may follow. @returns false when the call takes nothing any more */
  async send(request: Req): Promise<boolean> {
    if (!this.#over && !this.#call.write(request)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return !this.#over;
  }

  /** Nothing more is sent. */
  finish(): void {
    if (this.#over) return;
    this.#end();
    this.#call.end();
  }

  override cancel(): void {
    this.#end();
    super.cancel();
  }

  #end(): void {
    this.#over = true;
    this.#wake();
  }
}

interface Cancellable {
  cancel(): void;
}

/** How a call ended: by whom it was cancelled is not in its status. */
class Ending {
  readonly #call: Cancellable;
  readonly #limit: ConnectLimit | undefined;
  #cancelled = false;

  constructor(call: Cancellable, limit: ConnectLimit | undefined) {
    this.#call = call;
    this.#limit = limit;
  }

  cancel(): void {
    this.#cancelled = true;
    this.stop();
    this.#call.cancel();
  }

  stop(): void {
    this.#limit?.stop();
  }

  fault(thrown: unknown): Fault {
    if (this.#limit?.passed) return this.#limit.passed;
    const error = thrown as Partial<ServiceError>;
    if (typeof error.code !== 'number' || !(error.metadata instanceof Metadata)) return toFault(thrown);
    const { code, details = '', metadata } = error;
    const own = metadata.get(DETAILS).length > 0;
    // A server that is shut down by force resets its streams with the same code as a caller who cancels.
    const cut = (code === Code.CANCELLED && !this.#cancelled) || (code === Code.INTERNAL && details.includes('RST_STREAM'));
    return !own && cut
      ? new Fault('UNREACHABLE', `the connection was lost: ${details}`)
      : faultOfStatus({ code, details, metadata });
  }
}

/** Gives a call up whose connection does not come about. */
class ConnectLimit {
  passed: Fault | undefined;
  readonly #timer: NodeJS.Timeout;

  constructor(address: string, call: Cancellable, state: () => connectivityState) {
    this.#timer = setTimeout(() => {
      if (state() === connectivityState.READY) return;
      this.passed = new Fault('UNREACHABLE', `no connection to ${address} within ${CONNECT_LIMIT_MS} ms`);
      call.cancel();
    }, CONNECT_LIMIT_MS).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

/** Pings often while a call is open; a connection that nobody uses costs nothing. */
function watchful(options: DialOptions) {
  const often = { keepaliveMs: KEEPALIVE_MS, keepaliveTimeoutMs: KEEPALIVE_TIMEOUT_MS, ...options };
  return { ...channelOptions(often), 'grpc.keepalive_permit_without_calls': 0 };
}
