/**
 * A server with the API of OpenAI, in the forms of vLLM, of llama-server and of OpenAI itself, without a model: the token
 * at a position follows from the prompt, the seed and the position. Its chunks are those of the recordings in
 * tests/nodes/backends/recorded/openai/, with other values.
 */
import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answered, ChatBody } from './openai-tokens.ts';
import { answerOf, contextTokensOf, vectorOf, wordsIn } from './openai-tokens.ts';

export type ServerForm = 'vllm' | 'llama-server' | 'openai';

export interface OpenAiServerOptions {
  readonly form?: ServerForm;
  readonly contextLength?: number;
  /** Between two tokens of a request. */
  readonly tokenMs?: number;
  /** The key that requests must show. */
  readonly key?: string;
  readonly models?: readonly string[];
  /** Of 127.0.0.1; 0: any. */
  readonly port?: number;
  /** Parameters that are refused as OpenAI refuses what it does not know. */
  readonly refuses?: readonly string[];
  /** Whether an answer is held to a schema; it is passed over otherwise. */
  readonly schemas?: boolean;
  /** Answers the next chats in its own way, each of these once. */
  readonly script?: readonly Script[];
}

export type Script = (response: ServerResponse, body: ChatBody) => void | Promise<void>;

export interface OpenAiServer {
  /** Ends with /v1. */
  readonly url: string;
  readonly model: string;
  readonly chats: ChatBody[];
  /** Authorization headers, in their order. */
  readonly keys: (string | undefined)[];
  /** What the engine is at: requests, and tokens of those that were given up. */
  readonly running: number;
  readonly cancelled: readonly number[];
  /** Resolves when so many requests were given up and their engine has stopped. */
  stopped(requests: number): Promise<void>;
  script(...next: Script[]): void;
  /** Ends every connection, as a process that dies. */
  die(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function startOpenAiServer(options: OpenAiServerOptions = {}): Promise<OpenAiServer> {
  const fake = new FakeServer(options);
  await fake.listen();
  return fake;
}

class FakeServer implements OpenAiServer {
  readonly #options: Required<Omit<OpenAiServerOptions, 'key'>> & Pick<OpenAiServerOptions, 'key'>;
  readonly #server: Server;
  readonly #script: Script[];
  readonly #read: string[][] = [];
  readonly #waiters = new Set<() => void>();
  readonly chats: ChatBody[] = [];
  readonly keys: (string | undefined)[] = [];
  readonly cancelled: number[] = [];
  running = 0;

  constructor(options: OpenAiServerOptions) {
    const defaults = {
      form: 'vllm',
      contextLength: 512,
      tokenMs: 1,
      models: ['under-test'],
      refuses: [],
      schemas: true,
      script: [],
      port: 0,
    } as const;
    this.#options = { ...defaults, ...options };
    this.#script = [...this.#options.script];
    this.#server = createServer((request, response) => {
      void this.#serve(request, response).catch(() => response.destroy());
    });
  }

  async listen(): Promise<void> {
    await once(this.#server.listen(this.#options.port, '127.0.0.1'), 'listening');
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  get model(): string {
    return this.#options.models[0] as string;
  }

  script(...next: Script[]): void {
    this.#script.push(...next);
  }

  async stopped(requests: number): Promise<void> {
    while (this.cancelled.length < requests) await new Promise<void>((resolve) => this.#waiters.add(resolve));
  }

  async die(): Promise<void> {
    this.#server.closeAllConnections();
    await this[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { key, form, models } = this.#options;
    const parts: Buffer[] = [];
    for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
    const body = JSON.parse(Buffer.concat(parts).toString() || '{}') as ChatBody;
    this.keys.push(request.headers.authorization);
    if (key !== undefined && request.headers.authorization !== `Bearer ${key}`) {
      return refuse(response, 401, {
        message: `Incorrect API key provided: ${request.headers.authorization}`,
        code: 'invalid_api_key',
      });
    }
    if (request.url === '/v1/models') return json(response, { object: 'list', data: models.map((id) => this.#entry(id)) });
    if (request.url === '/version' && form === 'vllm') return json(response, { version: '0.11.0' });
    if (request.url === '/props' && form === 'llama-server') {
      const { contextLength } = this.#options;
      return json(response, {
        build_info: 'b6700-0123abc',
        total_slots: 4,
        default_generation_settings: { n_ctx: contextLength },
      });
    }
    if (request.url === '/metrics' && form === 'vllm') return text(response, this.#metrics());
    if (request.url === '/v1/embeddings') return this.#embed(body, response);
    if (request.url === '/v1/chat/completions') return this.#chat(body, response);
    return refuse(response, 404, { message: 'Not Found' });
  }

  #entry(id: string): object {
    const { form, contextLength } = this.#options;
    const common = { id, object: 'model', created: 1_763_000_000 };
    if (form === 'vllm') return { ...common, owned_by: 'vllm', root: `maker/${id}`, parent: null, max_model_len: contextLength };
    if (form === 'llama-server')
      return { ...common, owned_by: 'llamacpp', meta: { n_vocab: 32_000, n_ctx_train: contextLength } };
    return { ...common, owned_by: 'system' };
  }

  #metrics(): string {
    const labels = '{engine="0",model_name="under-test"}';
    return [
      '# HELP vllm:num_requests_running Number of requests in model execution batches.',
      '# TYPE vllm:num_requests_running gauge',
      `vllm:num_requests_running${labels} ${this.running}.0`,
      `vllm:num_requests_waiting${labels} 0.0`,
      `vllm:kv_cache_usage_perc${labels} 0.25`,
    ].join('\n');
  }

  async #chat(body: ChatBody, response: ServerResponse): Promise<void> {
    const { contextLength, refuses, form } = this.#options;
    this.chats.push(body);
    const scripted = this.#script.shift();
    if (scripted) return scripted(response, body);
    const unknown = refuses.find((name) => name in body);
    if (unknown !== undefined) {
      return refuse(response, 400, { message: `Unknown parameter: '${unknown}'.`, code: 'unknown_parameter', param: unknown });
    }
    const input = contextTokensOf(body);
    const asked = body.max_completion_tokens ?? body.max_tokens;
    if (input >= contextLength || (form !== 'llama-server' && input + (asked ?? 1) > contextLength)) {
      return refuse(response, 400, this.#tooLong(input, asked));
    }
    const limit = Math.min(asked ?? Number.POSITIVE_INFINITY, contextLength - input);
    await this.#stream(body, answerOf(body, this.#options.schemas), { input, limit, cached: this.#cachedOf(body) }, response);
  }

  #tooLong(input: number, asked = 0): object {
    const { contextLength, form } = this.#options;
    if (form === 'llama-server') {
      const message = `the request exceeds the available context size. try increasing the context size or enable context shift`;
      return { code: 400, message, type: 'exceed_context_size_error', n_prompt_tokens: input, n_ctx: contextLength };
    }
    const all = `you requested ${input + asked} tokens (${input} in the messages, ${asked} in the completion)`;
    const message = `This model's maximum context length is ${contextLength} tokens. However, ${all}. Please reduce the length.`;
    return { message, type: 'invalid_request_error', param: 'messages', code: 'context_length_exceeded' };
  }

  /** Whole messages that another prompt had in common. */
  #cachedOf({ messages }: ChatBody): number {
    const texts = messages.map(({ role, content }) => `${role}: ${content}`);
    const common = (other: string[]) => {
      const differs = texts.findIndex((text, i) => text !== other[i]);
      return differs === -1 ? texts.length : differs;
    };
    const most = Math.max(0, ...this.#read.map(common));
    this.#read.push(texts);
    return contextTokensOf({ messages: messages.slice(0, most) });
  }

  async #stream(body: ChatBody, answer: Answered, counts: Counts, response: ServerResponse): Promise<void> {
    const chunks = chunksOf(this.#options.form, body);
    let given = 0;
    this.running++;
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    response.flushHeaders();
    try {
      await write(response, chunks.first(counts));
      for (; given < counts.limit; given++) {
        const token = answer.token(given);
        if (token === undefined) break;
        if (this.#options.tokenMs > 0) await sleep(this.#options.tokenMs);
        await write(response, chunks.token(token, given + 1, counts));
        if (response.destroyed) return;
      }
      await write(response, chunks.last(given < counts.limit ? 'stop' : 'length', given, counts));
      response.end();
    } finally {
      this.running--;
      if (!response.writableEnded) this.cancelled.push(given);
      for (const waiter of this.#waiters) waiter();
    }
  }

  #embed({ input, model }: ChatBody, response: ServerResponse): void {
    const texts = input ?? [];
    if (texts.includes('')) return refuse(response, 400, { message: 'input cannot be an empty string', param: 'input' });
    const { contextLength } = this.#options;
    const long = texts.map((each) => wordsIn(each).length).find((words) => words > contextLength);
    if (long !== undefined) return refuse(response, 400, this.#tooLong(long));
    const tokens = texts.reduce((sum, each) => sum + wordsIn(each).length + 2, 0);
    const data = texts.map((each, index) => ({ object: 'embedding', index, embedding: vectorOf(each) }));
    json(response, { object: 'list', model, data, usage: { prompt_tokens: tokens, total_tokens: tokens } });
  }
}

interface Counts {
  readonly input: number;
  readonly cached: number;
  readonly limit: number;
}

interface Chunks {
  first(counts: Counts): string;
  token(token: { readonly text: string; readonly id: number }, given: number, counts: Counts): string;
  last(reason: string, given: number, counts: Counts): string;
}

const event = (data: unknown) => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;
const ID = { id: 'chatcmpl-0', object: 'chat.completion.chunk', created: 1_763_000_000, model: 'under-test' };
const DONE = event('[DONE]');

/** A stream in the words of each server; what a request does not ask for does not come. */
function chunksOf(form: ServerForm, body: ChatBody): Chunks {
  const { include_usage: wanted = false, continuous_usage_stats: always = false } = body.stream_options ?? {};
  const chunk = (delta: object, finish: string | null, more: object = {}, choice: object = {}) =>
    event({ ...ID, choices: [{ index: 0, delta, logprobs: null, finish_reason: finish, ...choice }], ...more });
  const usage = (given: number, { input, cached }: Counts) => ({
    usage: {
      prompt_tokens: input,
      completion_tokens: given,
      total_tokens: input + given,
      prompt_tokens_details: { cached_tokens: cached },
    },
  });
  const timings = (given: number, { input, cached }: Counts) =>
    form === 'llama-server' && body.timings_per_token
      ? { timings: { cache_n: cached, prompt_n: input - cached, predicted_n: given } }
      : {};
  const now = (given: number, counts: Counts) => (form === 'vllm' && always ? usage(given, counts) : timings(given, counts));
  const ids = (...tokens: number[]) => (form === 'vllm' && body.return_token_ids ? { token_ids: tokens } : {});
  return {
    first: (counts) => chunk({ role: 'assistant', content: form === 'llama-server' ? null : '' }, null, now(0, counts)),
    token: ({ text, id }, given, counts) => chunk({ content: text }, null, now(given, counts), ids(id)),
    last: (reason, given, counts) => {
      const end = chunk({}, reason, now(given, counts));
      return end + (wanted ? event({ ...ID, choices: [], ...usage(given, counts) }) : '') + DONE;
    },
  };
}

async function write(response: ServerResponse, data: string): Promise<void> {
  if (response.destroyed || response.write(data)) return;
  const gone = new AbortController();
  const signal = gone.signal;
  await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })]).finally(() => gone.abort());
}

export function json(response: ServerResponse, body: object, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

export function refuse(response: ServerResponse, status: number, error: object, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify({ error }));
}

function text(response: ServerResponse, body: string): void {
  response.writeHead(200, { 'content-type': 'text/plain' }).end(body);
}
