/**
 * The clients of the cache's benchmark, in a process of their own: ordinary grpc-js calls without any retry, so many at a
 * time or each at its own moment. Steered by messages: ask.
 */
import { Client, credentials } from '@grpc/grpc-js';
import { CacheMode, ChatRequest, ChatResponse } from '../../../proto/gen/infermesh/v1/inference.ts';
import { Role } from '../../../proto/gen/infermesh/v1/types.ts';

export interface Request {
  readonly text: string;
  readonly maxTokens: number;
  /** 0: deterministic. */
  readonly temperature: number;
  /** Keeps it away from the cache. */
  readonly bypass?: boolean;
  /** Which of the addresses; absent: the first. */
  readonly to?: number;
  /** From the beginning, where moments count. */
  readonly dueMs?: number;
}

export interface Ask {
  readonly type: 'ask';
  /** HOST:PORT of routers. */
  readonly addresses: readonly string[];
  /** To each of them. */
  readonly connections: number;
  /** Requests at the same time; 0: each at its moment. */
  readonly atOnce: number;
  readonly requests: readonly Request[];
}

/** What became of one request. */
export interface Answer {
  /** From the call to its status. */
  readonly ms: number;
  /** A CacheSource; 0: it was generated for this request. */
  readonly source: number;
  readonly usd: number;
  /** Of the status; 0: it has all of the answer. */
  readonly code: number;
}

const METHOD = '/infermesh.v1.InferenceService/Chat';
const identity = (buffer: Buffer) => buffer;

class Clients {
  readonly #ask: Ask;
  readonly #channels: Client[][];
  readonly #answers: Answer[] = [];

  constructor(ask: Ask) {
    this.#ask = ask;
    const options = { 'grpc.use_local_subchannel_pool': 1, 'grpc.enable_retries': 0 };
    this.#channels = ask.addresses.map((address) =>
      Array.from({ length: ask.connections }, () => new Client(address, credentials.createInsecure(), options)),
    );
  }

  async run(): Promise<readonly Answer[]> {
    await Promise.all(this.#channels.flat().map(ready));
    const { requests, atOnce } = this.#ask;
    if (atOnce === 0) await this.#inTime(requests);
    else {
      const waiting = requests.entries();
      await Promise.all(Array.from({ length: atOnce }, () => this.#inTurn(waiting)));
    }
    for (const channel of this.#channels.flat()) channel.close();
    return this.#answers;
  }

  async #inTurn(waiting: Iterable<[number, Request]>): Promise<void> {
    for (const [index, request] of waiting) await this.#one(index, request);
  }

  async #inTime(requests: readonly Request[]): Promise<void> {
    const startedAt = performance.now();
    const all: Promise<void>[] = [];
    for (const [index, request] of requests.entries()) {
      const early = (request.dueMs ?? 0) - (performance.now() - startedAt);
      if (early > 1) await new Promise((resolve) => setTimeout(resolve, early));
      all.push(this.#one(index, request));
    }
    await Promise.all(all);
  }

  #one(index: number, { text, maxTokens, temperature, bypass = false, to = 0 }: Request): Promise<void> {
    const chat = ChatRequest.fromPartial({
      messages: [{ role: Role.ROLE_USER, text }],
      maxTokens,
      sampling: { temperature },
      ...(bypass ? { cache: { mode: CacheMode.CACHE_MODE_BYPASS } } : {}),
    });
    const channels = this.#channels[to] as Client[];
    const channel = channels[index % channels.length] as Client;
    const request = Buffer.from(ChatRequest.encode(chat).finish());
    const startedAt = performance.now();
    let last: Buffer | undefined;
    return new Promise((resolve) => {
      const call = channel.makeServerStreamRequest(METHOD, identity, identity, request, { deadline: Date.now() + 60_000 });
      call.on('data', (message: Buffer) => {
        last = message;
      });
      // It is told again by the status, which also comes after a good end.
      call.on('error', () => {});
      call.on('status', ({ code }) => {
        this.#answers[index] = { ms: performance.now() - startedAt, code, ...ending(last) };
        resolve();
      });
    });
  }
}

function ready(channel: Client): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.waitForReady(Date.now() + 10_000, (error) => (error ? reject(error) : resolve()));
  });
}

function ending(message: Buffer | undefined): Pick<Answer, 'source' | 'usd'> {
  const { event } = message ? ChatResponse.decode(message) : {};
  if (event?.$case !== 'finished') return { source: 0, usd: 0 };
  return { source: event.value.cached?.source ?? 0, usd: event.value.cost?.usd ?? 0 };
}

process.on('message', async (ask: Ask) => {
  process.send?.({ type: 'answered', answers: await new Clients(ask).run() });
});
