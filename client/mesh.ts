/** A connection to a router. */
import type { ClientReadableStream, ClientUnaryCall, ServiceError } from '@grpc/grpc-js';
import { Metadata } from '@grpc/grpc-js';
import { checkFeedback } from '../proto/contract/bounds.ts';
import { Code, Fault, toFault } from '../proto/contract/faults.ts';
import type { FleetModel, GetStatsResponse, Node } from '../proto/gen/infermesh/v1/admin.ts';
import { AdminServiceClient } from '../proto/gen/infermesh/v1/admin.ts';
import type { ChatRequest, ChatResponse, ExplainResponse, FeedbackResponse } from '../proto/gen/infermesh/v1/inference.ts';
import { FeedbackRequest, InferenceServiceClient } from '../proto/gen/infermesh/v1/inference.ts';
import type { DialOptions } from '../proto/transport/channel.ts';
import { channelOptions, credentialsFor } from '../proto/transport/channel.ts';
import { clampDeadline } from '../proto/transport/deadline.ts';
import { faultOfStatus } from '../proto/transport/service-error.ts';
import type { ClientCall, ClientCallFacts } from '../telemetry/client-span.ts';
import { startClientCall } from '../telemetry/client-span.ts';
import type { ChatEvent } from './events.ts';
import type { ChatInput } from './request.ts';
import { chatRequest } from './request.ts';

const SERVICE = 'infermesh.v1.InferenceService';
const ADMIN_DEADLINE_MS = 5000;

export type ConnectOptions = DialOptions;

export interface CallOptions {
  /** Ends the call; the engine stops within 100 ms. */
  readonly signal?: AbortSignal;
  /** From now; absent: 120,000; longest: 3,600,000. */
  readonly deadlineMs?: number;
  /** Sent along as gRPC metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Each 0 (worst) to 1 (best); at least one. */
export interface Ratings {
  readonly rating?: number;
  readonly groundedness?: number;
  readonly recall?: number;
  readonly readability?: number;
}

/** What a whole answer came to. */
export interface Answer {
  readonly text: string;
  readonly started: Extract<ChatEvent, { type: 'started' }>;
  readonly finished: Extract<ChatEvent, { type: 'finished' }>;
}

/**
 * Connects lazily: the first call dials.
 * @param address HOST:PORT of a router
 */
export function connect(address: string, options: ConnectOptions = {}): Mesh {
  return new Mesh(address, options);
}

export class Mesh implements Disposable {
  readonly address: string;
  readonly #inference: InferenceServiceClient;
  readonly #admin: AdminServiceClient;

  constructor(address: string, options: ConnectOptions = {}) {
    this.address = address;
    const credentials = credentialsFor(options);
    this.#inference = new InferenceServiceClient(address, credentials, channelOptions(options));
    this.#admin = new AdminServiceClient(address, credentials, channelOptions(options));
  }

  /** Resolves when the router answers. @throws Fault UNREACHABLE after `timeoutMs` */
  ready(timeoutMs = 5000): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#inference.waitForReady(Date.now() + timeoutMs, (error) => {
        if (error) reject(new Fault('UNREACHABLE', `no router answers at ${this.address}`, { cause: error }));
        else resolve();
      });
    });
  }

  /**
   * Streams an answer. The call begins with the first step of the iteration, and leaving the iteration cancels it.
   * @throws Fault, out of the iteration
   */
  async *chat(input: ChatInput, options: CallOptions = {}): AsyncGenerator<ChatEvent, void, void> {
    if (options.signal?.aborted) throw new Fault('CANCELLED', 'cancelled before it began');
    const request = chatRequest(input);
    const metadata = metadataOf(options);
    const span = startClientCall(`${SERVICE}/Chat`, spanFacts(this.address, request, options));
    if (span.traceparent) metadata.set('traceparent', span.traceparent);
    const call = this.#inference.chat(request, metadata, { deadline: deadlineOf(options.deadlineMs) });
    const seen = new Seen(span);
    const abort = () => call.cancel();
    options.signal?.addEventListener('abort', abort, { once: true });
    try {
      for await (const { event } of call as ClientReadableStream<ChatResponse> & AsyncIterable<ChatResponse>) {
        if (!event) continue; // A newer router's event that this client does not know.
        const chatEvent = { type: event.$case, ...event.value } as ChatEvent;
        seen.event(chatEvent);
        yield chatEvent;
      }
      if (!seen.complete) throw new Fault('NODE_LOST', 'the stream ended without a finish');
    } catch (thrown) {
      throw seen.failed(thrown);
    } finally {
      options.signal?.removeEventListener('abort', abort);
      call.cancel();
      seen.left();
    }
  }

  /** The whole answer at once. @throws Fault */
  async ask(input: ChatInput, options: CallOptions = {}): Promise<Answer> {
    let text = '';
    let started: Answer['started'] | undefined;
    let finished: Answer['finished'] | undefined;
    for await (const event of this.chat(input, options)) {
      if (event.type === 'delta') text += event.text;
      else if (event.type === 'started') started = event;
      else finished = event;
    }
    return { text, started: started as Answer['started'], finished: finished as Answer['finished'] };
  }

  /** What `chat` would choose for the same request now, and why. @throws Fault */
  async explain(input: ChatInput, options: CallOptions = {}): Promise<ExplainResponse> {
    const request = { chat: chatRequest(input) };
    const callOptions = { deadline: deadlineOf(options.deadlineMs) };
    return unary((done) => this.#inference.explain(request, metadataOf(options), callOptions, done), options.signal);
  }

  /**
   * Tells how good a past answer was, so that the router chooses better.
   * @param requestId as in `started`
   * @returns the reward the answer is credited with, 0 to 1
   * @throws Fault INVALID_REQUEST, or REQUEST_UNKNOWN when the router does not remember the request
   */
  async feedback(requestId: string, figures: Ratings, options: CallOptions = {}): Promise<number> {
    const request = checkFeedback(FeedbackRequest.fromPartial({ requestId, ...figures }));
    const callOptions = { deadline: Date.now() + (options.deadlineMs ?? ADMIN_DEADLINE_MS) };
    const start = (done: (error: ServiceError | null, response: FeedbackResponse) => void) =>
      this.#inference.feedback(request, metadataOf(options), callOptions, done);
    return (await unary(start, options.signal)).reward;
  }

  /** The fleet now. @throws Fault */
  async nodes(): Promise<Node[]> {
    const deadline = { deadline: Date.now() + ADMIN_DEADLINE_MS };
    return (await unary<{ nodes: Node[] }>((done) => this.#admin.listNodes({}, new Metadata(), deadline, done))).nodes;
  }

  /** Every model that some node serves. @throws Fault */
  async models(): Promise<FleetModel[]> {
    const deadline = { deadline: Date.now() + ADMIN_DEADLINE_MS };
    return (await unary<{ models: FleetModel[] }>((done) => this.#admin.listModels({}, new Metadata(), deadline, done))).models;
  }

  /** What the router holds and has done. @throws Fault */
  stats(): Promise<GetStatsResponse> {
    const deadline = { deadline: Date.now() + ADMIN_DEADLINE_MS };
    return unary((done) => this.#admin.getStats({}, new Metadata(), deadline, done));
  }

  /** The fleet at once and after each change, until the iteration is left. @throws Fault */
  async *watchNodes(intervalMs = 1000, signal?: AbortSignal): AsyncGenerator<Node[], void, void> {
    if (signal?.aborted) return;
    const call = this.#admin.watchNodes({ intervalMs });
    const abort = () => call.cancel();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      for await (const { nodes } of call as AsyncIterable<{ nodes: Node[] }>) yield nodes;
    } catch (thrown) {
      throw asFault(thrown);
    } finally {
      signal?.removeEventListener('abort', abort);
      call.cancel();
    }
  }

  close(): void {
    this.#inference.close();
    this.#admin.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Follows one chat for its span, which ends once whatever way the iteration is left. */
class Seen {
  complete = false;
  readonly #span: ClientCall;
  #tokens = 0;
  #who: { node?: string; model?: string; requestId?: string } = {};

  constructor(span: ClientCall) {
    this.#span = span;
  }

  event(event: ChatEvent): void {
    if (event.type === 'started') {
      this.#who = { node: event.node, model: event.model, requestId: event.requestId };
    } else if (event.type === 'delta') {
      this.#span.firstToken();
      this.#tokens = event.seq + event.tokens;
    } else {
      this.complete = true;
      const { reason: finishReason, usage, migrations } = event;
      const end = { outcome: 'finished', code: Code.OK, tokens: this.#tokens, finishReason, migrations, ...this.#who } as const;
      this.#span.end(usage ? { ...end, usage } : end);
    }
  }

  failed(thrown: unknown): Fault {
    const fault = asFault(thrown);
    const outcome = fault.reason === 'CANCELLED' ? 'cancelled' : 'failed';
    this.#span.end({ outcome, code: fault.code, reason: fault.reason, tokens: this.#tokens, ...this.#who });
    return fault;
  }

  left(): void {
    this.#span.end({ outcome: 'cancelled', code: Code.CANCELLED, reason: 'CANCELLED', tokens: this.#tokens, ...this.#who });
  }
}

function spanFacts(address: string, { sampling, maxTokens }: ChatRequest, { metadata }: CallOptions): ClientCallFacts {
  const [host = '', port = ''] = address.split(/:(?=\d+$)/);
  const traceparent = metadata?.traceparent;
  return {
    server: { address: host, port: Number(port) },
    sampling: { ...sampling, ...(maxTokens === undefined ? {} : { maxTokens }) },
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}

/** @throws Fault INVALID_REQUEST for a name or value that HTTP/2 headers can't carry */
function metadataOf({ metadata = {} }: CallOptions): Metadata {
  const all = new Metadata();
  for (const [name, value] of Object.entries(metadata)) {
    try {
      all.set(name, value);
    } catch (cause) {
      const description = `must be a lower-case ASCII name with a printable ASCII value, received ${value.length} characters`;
      throw new Fault('INVALID_REQUEST', `metadata ${description}`, { violations: [{ field: 'metadata', description }], cause });
    }
  }
  return all;
}

function deadlineOf(ms: number | undefined): number {
  return Date.now() + clampDeadline(ms);
}

function unary<T>(
  start: (done: (error: ServiceError | null, response: T) => void) => ClientUnaryCall,
  signal?: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const call = start((error, response) => {
      signal?.removeEventListener('abort', abort);
      if (error) reject(asFault(error));
      else resolve(response);
    });
    const abort = () => call.cancel();
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) call.cancel();
  });
}

function asFault(thrown: unknown): Fault {
  const error = thrown as Partial<ServiceError>;
  if (typeof error.code === 'number' && error.metadata instanceof Metadata) {
    return faultOfStatus({ code: error.code, details: error.details ?? '', metadata: error.metadata });
  }
  return toFault(thrown);
}
