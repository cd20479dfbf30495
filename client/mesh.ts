/** A connection to a mesh, by one of its routers or several. */
import { checkFeedback } from '../proto/contract/bounds.ts';
import type {
  CreateJoinTokenResponse,
  DrainNodeResponse,
  FleetModel,
  GetCacheStatsResponse,
  GetStatsResponse,
  ListModelsResponse,
  ListNodesResponse,
  Node,
  PurgeCacheResponse,
} from '../proto/gen/infermesh/v1/admin.ts';
import { CacheLayer } from '../proto/gen/infermesh/v1/admin.ts';
import type { EmbedResponse, ExplainResponse, FeedbackResponse } from '../proto/gen/infermesh/v1/inference.ts';
import { FeedbackRequest } from '../proto/gen/infermesh/v1/inference.ts';
import type { DialOptions } from '../proto/transport/channel.ts';
import { clampDeadline } from '../proto/transport/deadline.ts';
import { Answered } from './answered.ts';
import type { BatchOptions } from './batch.ts';
import { streamBatch } from './batch.ts';
import type { BatchItem, BatchOutcome } from './batch-items.ts';
import type { CallOptions } from './call-options.ts';
import { factsOf } from './call-options.ts';
import { streamChat } from './chat.ts';
import type { Embeddings, EmbedInput } from './embed.ts';
import { embeddingsOf, embedRequest } from './embed.ts';
import type { Answer, ChatEvent } from './events.ts';
import { EvidenceStore } from './evidence.ts';
import { messagesOf } from './messages.ts';
import type { LoadOptions, ModelStep, SwapOptions, UnloadOptions } from './models.ts';
import { streamControl } from './models.ts';
import type { ChatInput } from './request.ts';
import { chatRequest } from './request.ts';
import type { Router, Start } from './router.ts';
import { addressesOf, Routers } from './routers.ts';

export type { CallOptions };

const ADMIN_DEADLINE_MS = 5000;
/** A large Redis is looked through as a whole. */
const PURGE_DEADLINE_MS = 60_000;

export interface ConnectOptions extends DialOptions {
  /** What `failover` is where a call does not say; absent: true. */
  readonly failover?: boolean;
}

/** Each 0 (worst) to 1 (best); at least one. */
export interface Ratings {
  readonly rating?: number;
  readonly groundedness?: number;
  readonly recall?: number;
  readonly readability?: number;
}

/** What of the cache is to be forgotten. */
export interface Purge {
  /** Absent: all layers. */
  readonly layer?: keyof typeof LAYERS;
  /** Absent: everybody's; empty: of those without a tenant. */
  readonly tenant?: string;
}

const LAYERS = {
  answers: CacheLayer.CACHE_LAYER_ANSWERS,
  evidence: CacheLayer.CACHE_LAYER_EVIDENCE,
  embeddings: CacheLayer.CACHE_LAYER_EMBEDDINGS,
} as const;

export type EmbedOptions = CallOptions & Omit<EmbedInput, 'texts'>;

/**
 * Connects lazily: the first call dials.
 * @param addresses HOST:PORT of a router, or of several routers of one mesh, as a list or with commas
 * @throws Fault INVALID_REQUEST where there is none
 */
export function connect(addresses: string | readonly string[], options: ConnectOptions = {}): Mesh {
  return new Mesh(addresses, options);
}

export class Mesh implements Disposable {
  readonly addresses: readonly string[];
  /** What a service keeps in the mesh for its later requests. */
  readonly evidence = new EvidenceStore((start) => this.#ask(start));
  readonly #routers: Routers;
  readonly #answered = new Answered();
  readonly #failover: boolean;

  constructor(addresses: string | readonly string[], { failover = true, ...options }: ConnectOptions = {}) {
    this.addresses = addressesOf(addresses);
    this.#routers = new Routers(this.addresses, options);
    this.#failover = failover;
  }

  /** Of the router that the next call goes to. */
  get address(): string {
    return this.#routers.inUse.address;
  }

  /** Resolves when a router answers. @throws Fault UNREACHABLE after `timeoutMs` */
  ready(timeoutMs = 5000): Promise<void> {
    return this.#routers.ready(timeoutMs);
  }

  /**
   * Streams an answer. The call begins with the first step of the iteration, and leaving the iteration cancels it. Where
   * its router is lost, another one goes on with it.
   * @throws Fault, out of the iteration
   */
  chat(input: ChatInput, options: CallOptions = {}): AsyncGenerator<ChatEvent, void, void> {
    const failover = options.failover ?? this.#failover;
    return streamChat({ routers: this.#routers, answered: this.#answered, input, options, failover });
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

  /**
   * Vectors of texts, each of length 1, by the embedding model that the mesh has in use.
   * @param texts 1 to 1,024 @throws Fault INVALID_REQUEST, MODEL_NOT_FOUND where `model` is not in use, NO_NODE
   */
  async embed(texts: readonly string[], options: EmbedOptions = {}): Promise<Embeddings> {
    const request = embedRequest({ ...options, texts });
    const facts = factsOf(options, clampDeadline(options.deadlineMs));
    return embeddingsOf(await this.#ask<EmbedResponse>(({ inference }, ...call) => inference.embed(request, ...call), facts));
  }

  /**
   * Works off any number of chats and embeds at the best rate of all together, and tells what becomes of each, in any
   * order. Items are taken as the mesh gets on with them, and no faster than outcomes are read. The call begins with the
   * first step of the iteration, and leaving the iteration cancels what is at work. Where its router is lost, another one
   * goes on with what has no outcome yet.
   * @throws Fault, out of the iteration, for what is no item's own failure; and whatever `items` throws
   */
  batch(
    items: Iterable<BatchItem> | AsyncIterable<BatchItem>,
    options: BatchOptions = {},
  ): AsyncGenerator<BatchOutcome, void, void> {
    const failover = options.failover ?? this.#failover;
    return streamBatch({ routers: this.#routers, answered: this.#answered, items, options, failover });
  }

  /** What `chat` would choose for the same request now, and why. @throws Fault */
  async explain(input: ChatInput, options: CallOptions = {}): Promise<ExplainResponse> {
    const request = { chat: chatRequest(input) };
    const facts = factsOf(options, clampDeadline(options.deadlineMs));
    return this.#ask(({ inference }, ...call) => inference.explain(request, ...call), facts);
  }

  /**
   * Tells how good a past answer was, so that the mesh chooses better. It goes to the router that answered; where this
   * connection does not remember which one did, each is asked until one does.
   * @param requestId as in `started`
   * @returns the reward the answer is credited with, 0 to 1
   * @throws Fault INVALID_REQUEST, or REQUEST_UNKNOWN when no router remembers the request
   */
  async feedback(requestId: string, figures: Ratings, options: CallOptions = {}): Promise<number> {
    const request = checkFeedback(FeedbackRequest.fromPartial({ requestId, ...figures }));
    const facts = factsOf(options, options.deadlineMs ?? ADMIN_DEADLINE_MS);
    const rate = async (router: Router, id: string) => {
      const rated = { ...request, requestId: id };
      return (await router.ask<FeedbackResponse>(({ inference }, ...call) => inference.feedback(rated, ...call), facts)).reward;
    };
    const by = this.#answered.get(requestId);
    if (by) return rate(by.router, by.requestId);
    return this.#routers.firstThatKnows((router) => rate(router, requestId));
  }

  /** The fleet now. @throws Fault */
  async nodes(): Promise<Node[]> {
    return (await this.#ask<ListNodesResponse>(({ admin }, ...call) => admin.listNodes({}, ...call))).nodes;
  }

  /** Every model that some node serves. @throws Fault */
  async models(): Promise<FleetModel[]> {
    return (await this.#ask<ListModelsResponse>(({ admin }, ...call) => admin.listModels({}, ...call))).models;
  }

  /** What the router in use holds and has done. @throws Fault */
  stats(): Promise<GetStatsResponse> {
    return this.#ask(({ admin }, ...call) => admin.getStats({}, ...call));
  }

  /** What the cache of the router in use holds and has done. @throws Fault */
  cacheStats(): Promise<GetCacheStatsResponse> {
    return this.#ask(({ admin }, ...call) => admin.getCacheStats({}, ...call));
  }

  /**
   * Forgets what is cached, at the router in use, in Redis, and within seconds at every router that shares it.
   * @returns how many entries there were in that router's memory and in Redis
   * @throws Fault
   */
  purgeCache({ layer, tenant }: Purge = {}): Promise<PurgeCacheResponse> {
    const request = { layer: layer === undefined ? CacheLayer.CACHE_LAYER_UNSPECIFIED : LAYERS[layer], tenant };
    return this.#ask(({ admin }, ...call) => admin.purgeCache(request, ...call), factsOf({}, PURGE_DEADLINE_MS));
  }

  /**
   * Lets a node finish what it has and leave.
   * @param limitMs what runs longer goes on at another node; 0 to 3,600,000
   * @returns requests of the asked router that run there now
   * @throws Fault NODE_UNKNOWN
   */
  async drain(node: string, limitMs = 30_000): Promise<number> {
    const request = { nodeId: node, limitMs };
    return (await this.#ask<DrainNodeResponse>(({ admin }, ...call) => admin.drainNode(request, ...call))).inFlight;
  }

  /**
   * Has a node bring a model into memory; one that has it is done at once. The credential must be an admin's. Leaving the
   * iteration, or a lost connection, ends the telling and not the load.
   * @param model as the catalogue names it, or with @ and the first digits of a version's digest
   * @throws Fault INVALID_REQUEST, FORBIDDEN, NODE_UNKNOWN or NO_NODE out of the iteration; what a node could not do is a step
   */
  loadModel(model: string, { pull = false, slots, ...options }: LoadOptions = {}): AsyncGenerator<ModelStep, void, void> {
    return streamControl(this.#routers, { $case: 'load', value: { model, pull, slots } }, options);
  }

  /** Has nodes take a model out of memory; they load it again when somebody asks for it. Else as `loadModel`. */
  unloadModel(model: string, { limitMs, ...options }: UnloadOptions = {}): AsyncGenerator<ModelStep, void, void> {
    return streamControl(this.#routers, { $case: 'unload', value: { model, limitMs } }, options);
  }

  /**
   * Has nodes load a model beside another and let it take over; no request fails for it. Several nodes follow each other.
   * Else as `loadModel`.
   */
  swapModel(
    from: string,
    to: string,
    { pull = false, limitMs, ...options }: SwapOptions = {},
  ): AsyncGenerator<ModelStep, void, void> {
    return streamControl(this.#routers, { $case: 'swap', value: { from, to, pull, limitMs } }, options);
  }

  /**
   * Lets one node join once; the credential must be an admin's.
   * @param wanted `node`: the only id that it lets in; `ttlSeconds`: 1 to 86,400, absent: 600
   * @throws Fault, FORBIDDEN without such a credential
   */
  async createJoinToken({ node = '', ttlSeconds }: { readonly node?: string; readonly ttlSeconds?: number } = {}) {
    const request = { nodeId: node, ttlSeconds };
    const start: Start<CreateJoinTokenResponse> = ({ admin }, ...call) => admin.createJoinToken(request, ...call);
    const { token, expiresAt } = await this.#ask(start);
    return { token, expiresAt: new Date(expiresAt * 1000) };
  }

  /** The fleet at once and after each change, until the iteration is left. @throws Fault */
  async *watchNodes(intervalMs = 1000, signal?: AbortSignal): AsyncGenerator<Node[], void, void> {
    const watched = messagesOf(this.#routers, (router) => router.watchNodes(intervalMs), signal);
    for await (const { nodes } of watched) yield nodes;
  }

  #ask<T>(start: Start<T>, facts = factsOf({}, ADMIN_DEADLINE_MS)): Promise<T> {
    return this.#routers.ask((router) => router.ask(start, facts));
  }

  close(): void {
    this.#routers.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
