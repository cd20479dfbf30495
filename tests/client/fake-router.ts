/** A router that does what the test says: bare services on a real socket, behind a proxy that can be cut or frozen. */
import type { Server, Socket } from 'node:net';
import net from 'node:net';
import { replaySeed, replayToken } from '../../nodes/backends/replay.ts';
import type { Fault } from '../../proto/contract/faults.ts';
import {
  AdminServiceService,
  GetStatsRequest,
  GetStatsResponse,
  ListModelsRequest,
  ListModelsResponse,
  ListNodesRequest,
  ListNodesResponse,
  WatchNodesRequest,
} from '../../proto/gen/infermesh/v1/admin.ts';
import type { ChatRequest } from '../../proto/gen/infermesh/v1/inference.ts';
import {
  BatchRequest,
  BatchResponse,
  ChatRequest as ChatRequestType,
  ChatResponse,
  EmbedRequest,
  EmbedResponse,
  ExplainRequest,
  ExplainResponse,
  FeedbackRequest,
  FeedbackResponse,
  InferenceServiceService,
  ResumeRequest,
} from '../../proto/gen/infermesh/v1/inference.ts';
import type { Delivered } from '../../proto/gen/infermesh/v1/types.ts';
import { FinishReason } from '../../proto/gen/infermesh/v1/types.ts';
import type { EventStream } from '../../proto/transport/event-stream.ts';
import { framed } from '../../proto/transport/framing.ts';
import { serverStream, unary } from '../../proto/transport/handlers.ts';
import type { Incoming } from '../../proto/transport/incoming.ts';
import { GrpcServer } from '../../proto/transport/server.ts';

export const MODEL = { name: 'canned', tokenizerDigest: 'sha256:0' };

/** One call of Chat or Resume. */
export class Asked {
  readonly chat: ChatRequest;
  /** Of a Resume. */
  readonly delivered: Delivered | undefined;
  readonly stream: EventStream;
  /** Resolves when the client has gone. */
  readonly gone: Promise<void>;
  readonly #id: string;

  constructor(id: string, chat: ChatRequest, delivered: Delivered | undefined, stream: EventStream) {
    this.#id = id;
    this.chat = chat;
    this.delivered = delivered;
    this.stream = stream;
    const gone = Promise.withResolvers<void>();
    this.gone = gone.promise;
    stream.onGone = gone.resolve;
  }

  started(): this {
    const { name: model, tokenizerDigest } = MODEL;
    return this.send({ $case: 'started', value: { requestId: this.#id, node: 'n', model, tokenizerDigest, traceId: '' } });
  }

  /** The tokens of these positions, of which a replay engine gives the same. */
  tokens(from: number, to: number): this {
    const seed = replaySeed(this.chat.messages);
    for (let seq = from; seq < to; seq++) {
      this.send({ $case: 'delta', value: { seq, tokens: 1, text: replayToken(seed, seq), tokenIds: [seq] } });
    }
    return this;
  }

  finish(migrations = 0): void {
    this.send({ $case: 'finished', value: { reason: FinishReason.FINISH_REASON_STOP, migrations } });
    this.stream.end();
  }

  fail(fault: Fault): void {
    this.stream.fail(fault);
  }

  send(event: NonNullable<ChatResponse['event']>): this {
    this.stream.write(framed(ChatResponse.encode(ChatResponse.fromPartial({ event })).finish()));
    return this;
  }
}

/** One call of Batch. */
export class AskedBatch {
  readonly stream: EventStream;
  /** Ids, in the order in which they came. */
  readonly ids: string[] = [];
  /** As the first request said. */
  window: number | undefined;
  readonly #requests: Incoming;

  constructor(requests: Incoming, stream: EventStream) {
    this.#requests = requests;
    this.stream = stream;
  }

  /** Undefined when the client has sent all. */
  async next(): Promise<BatchRequest | undefined> {
    const bytes = await this.#requests.next();
    if (!bytes) return undefined;
    const request = BatchRequest.decode(bytes);
    if (this.ids.length === 0) this.window = request.window;
    this.ids.push(request.id);
    return request;
  }

  answer(id: string): void {
    const started = { requestId: `request-of-${id}`, node: 'n', model: MODEL.name };
    const finished = { reason: FinishReason.FINISH_REASON_STOP };
    this.send({ id, outcome: { $case: 'answer', value: { started, text: `answer to ${id}`, finished } } });
  }

  refuse(id: string, { reason, code, message }: Fault): void {
    this.send({ id, outcome: { $case: 'failure', value: { reason, code, message } } });
  }

  send(response: Parameters<typeof BatchResponse.fromPartial>[0]): void {
    this.stream.write(framed(BatchResponse.encode(BatchResponse.fromPartial(response)).finish()));
  }
}

export class FakeRouter implements AsyncDisposable {
  readonly name: string;
  address = '';
  /** What it does with each call of Chat and Resume. */
  onAsked: (asked: Asked) => void = (asked) =>
    asked
      .started()
      .tokens(asked.delivered?.tokens ?? 0, 20)
      .finish();
  /** What it does with each call of Batch. */
  onBatch: (batch: AskedBatch) => void | Promise<void> = async (batch) => {
    for (let request = await batch.next(); request; request = await batch.next()) batch.answer(request.id);
    batch.stream.end();
  };
  readonly batches: AskedBatch[] = [];
  /** What it says to a request id. */
  onFeedback: (requestId: string) => number = () => 1;
  readonly asked: Asked[] = [];
  readonly proxy = new Between();
  readonly #server = new GrpcServer({ address: '127.0.0.1:0' });

  private constructor(name: string) {
    this.name = name;
  }

  static async start(name: string): Promise<FakeRouter> {
    const router = new FakeRouter(name);
    const take = (chat = ChatRequestType.create(), delivered: Delivered | undefined, stream: EventStream) => {
      const asked = new Asked(`${name}-${router.asked.length + 1}`, chat, delivered, stream);
      router.asked.push(asked);
      router.onAsked(asked);
    };
    router.#server.addService(InferenceServiceService, {
      chat: serverStream(ChatRequestType, 'ChatRequest', (chat, stream) => take(chat, undefined, stream)),
      resume: serverStream(ResumeRequest, 'ResumeRequest', ({ chat, delivered }, stream) => take(chat, delivered, stream)),
      embed: unary(EmbedRequest, EmbedResponse, 'EmbedRequest', () => EmbedResponse.create()),
      batch: {
        kind: 'exchange',
        handle: (requests, stream) => {
          const batch = new AskedBatch(requests, stream);
          router.batches.push(batch);
          return Promise.resolve(router.onBatch(batch));
        },
      },
      explain: unary(ExplainRequest, ExplainResponse, 'ExplainRequest', () => ({ candidates: [] })),
      feedback: unary(FeedbackRequest, FeedbackResponse, 'FeedbackRequest', ({ requestId }) => ({
        reward: router.onFeedback(requestId),
      })),
    });
    const { listNodes, watchNodes, listModels, getStats } = AdminServiceService;
    router.#server.addService(
      { listNodes, watchNodes, listModels, getStats },
      {
        listNodes: unary(ListNodesRequest, ListNodesResponse, 'ListNodesRequest', () => ({ nodes: [] })),
        watchNodes: serverStream(WatchNodesRequest, 'WatchNodesRequest', (_request, stream) => stream.end()),
        listModels: unary(ListModelsRequest, ListModelsResponse, 'ListModelsRequest', () => ({ models: [] })),
        getStats: unary(GetStatsRequest, GetStatsResponse, 'GetStatsRequest', () =>
          GetStatsResponse.fromPartial({ routerId: name }),
        ),
      },
    );
    router.address = await router.proxy.listen(await router.#server.listen());
    return router;
  }

  /** Ends as a router whose time to finish is over. */
  shutdown(): Promise<void> {
    return this.#server.close(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy.close();
    await this.shutdown();
  }
}

/** What lies between a client and a router. */
class Between {
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  readonly #server: Server;
  #port = 0;
  #frozen = false;

  constructor() {
    this.#server = net.createServer((near) => this.#connect(near));
  }

  async listen(to: number): Promise<string> {
    this.#port = to;
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const { port } = this.#server.address() as net.AddressInfo;
    return `127.0.0.1:${port}`;
  }

  #connect(near: Socket): void {
    if (this.#frozen) {
      this.#pairs.add([near, near]);
      near.on('error', () => {});
      return;
    }
    const far = net.connect(this.#port, '127.0.0.1');
    const pair = [near, far] as const;
    this.#pairs.add(pair);
    near.pipe(far).pipe(near);
    for (const socket of pair) {
      socket.on('error', () => {});
      socket.once('close', () => {
        this.#pairs.delete(pair);
        for (const one of pair) one.destroy();
      });
    }
  }

  /** Resets every connection; new ones are taken. */
  cut(): void {
    for (const [near] of this.#pairs) near.resetAndDestroy();
  }

  /** Connections stay open and nothing passes any more, as with a process that is stopped. */
  freeze(): void {
    this.#frozen = true;
    for (const [near, far] of this.#pairs) {
      near.unpipe(far);
      far.unpipe(near);
    }
  }

  /** As a process that is killed: what is open is reset, and nobody listens. */
  async kill(): Promise<void> {
    this.cut();
    await this.close();
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const [near, far] of this.#pairs) {
      near.destroy();
      far.destroy();
    }
    await closed;
  }
}
