/**
 * A local server that speaks as an Ollama does: chunks in the form of tests/nodes/backends/recorded/ollama/, with answers
 * that follow from the prompt, so that a checker knows them. It counts what its engine works on, as a test sees it from
 * the engine's side, and a test can put an answer of its own in the place of any.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { replaySeed, replayToken } from '../../nodes/backends/replay-tokens.ts';
import { replayVector, wordsOf } from '../../nodes/backends/replay-vectors.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';

const RECORDED = new URL('../nodes/backends/recorded/ollama/', import.meta.url);
export const recorded = (name: string) => readFileSync(new URL(name, RECORDED), 'utf8');

export interface OllamaRequest {
  readonly path: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at what it expects
  readonly body: any;
}
export type Answer = (request: OllamaRequest, response: ServerResponse) => void | Promise<void>;

export interface OllamaServerOptions {
  readonly port?: number;
  /** Tokens per second of each answer. */
  readonly rate?: number;
  readonly version?: string;
  /** What is installed; `qwen2.5:0.5b` and `all-minilm` otherwise. */
  readonly installed?: readonly string[];
}

export class FakeOllama implements AsyncDisposable {
  readonly #server: Server;
  readonly #options: OllamaServerOptions;
  readonly #instead = new Map<string, Answer>();
  readonly #installed: Set<string>;
  readonly requests: OllamaRequest[] = [];
  /** Answers that the engine works on. */
  running = 0;
  /** Answers that ended because their reader had gone. */
  cut = 0;

  private constructor(server: Server, options: OllamaServerOptions) {
    this.#server = server;
    this.#options = options;
    this.#installed = new Set(options.installed ?? ['qwen2.5:0.5b', 'all-minilm:latest']);
  }

  static async start(options: OllamaServerOptions = {}): Promise<FakeOllama> {
    const server = createServer();
    const ollama = new FakeOllama(server, options);
    server.on('request', (request, response) => void ollama.#serve(request, response));
    server.listen(options.port ?? 0, '127.0.0.1');
    await once(server, 'listening');
    return ollama;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** @param answer absent: as ever */
  answer(path: string, answer?: Answer): void {
    if (answer) this.#instead.set(path, answer);
    else this.#instead.delete(path);
  }

  /** As a process that is killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const sent = await text(message);
      const path = message.url ?? '';
      const request = { path, body: sent === '' ? {} : JSON.parse(sent) };
      this.requests.push(request);
      await (this.#instead.get(path) ?? this.#answerOf(path))(request, response);
    } catch {
      response.destroy();
    }
  }

  #answerOf(path: string): Answer {
    const plain =
      (body: string): Answer =>
      (_, response) =>
        json(response, 200, body);
    switch (path) {
      case '/api/version':
        return plain(JSON.stringify({ version: this.#options.version ?? '0.34.0' }));
      case '/api/tags':
        return plain(JSON.stringify({ models: this.#models('tags.json') }));
      case '/api/ps':
        return plain(JSON.stringify({ models: this.#models('ps.json') }));
      case '/api/show':
        return ({ body }, response) =>
          json(response, 200, recorded(body.model.startsWith('all-minilm') ? 'show-embedding.json' : 'show.json'));
      case '/api/pull':
        return ({ body }, response) => this.#pull(body.name, response);
      case '/api/chat':
        return (request, response) => this.#chat(request.body, response);
      case '/api/embed':
        return ({ body }, response) => json(response, 200, JSON.stringify(embeddingsOf(body)));
      default:
        return (_, response) => json(response, 404, '{"error":"not found"}');
    }
  }

  #models(file: string): readonly object[] {
    const { models } = JSON.parse(recorded(file)) as { models: { name: string }[] };
    return models.filter(({ name }) => this.#installed.has(name));
  }

  #pull(name: string, response: ServerResponse): void {
    response.setHeader('Content-Type', 'application/x-ndjson');
    this.#installed.add(name);
    response.end(recorded('pull.ndjson'));
  }

  async #chat(body: OllamaRequest['body'], response: ServerResponse): Promise<void> {
    const { messages, options, format, model } = body;
    const inputTokens = messages.reduce((sum: number, { content }: { content: string }) => sum + countWords(content) + 4, 0);
    const room = (options.num_ctx ?? 4096) - inputTokens;
    if (room < 1) return json(response, 400, tooLong(inputTokens, options.num_ctx));
    const most = Math.min(options.num_predict ?? 1e9, room);
    const tokens = format ? schemaTokens(format) : wordTokens(messages, options);
    this.running++;
    response.once('close', () => {
      this.running--;
      if (!response.writableFinished) this.cut++;
    });
    const begun = performance.now();
    const sent = await this.#stream(tokens, { most, stops: options.stop ?? [], model }, response);
    const took = Math.round((performance.now() - begun) * 1e6);
    const times = { total_duration: took, load_duration: 0, prompt_eval_duration: 1_000_000, eval_duration: took };
    const counts = { prompt_eval_count: inputTokens, eval_count: sent.tokens };
    response.end(`${chunk(model, '', { done: true, done_reason: sent.reason, ...times, ...counts })}\n`);
  }

  async #stream(
    tokens: Iterable<string>,
    { most, stops, model }: { readonly most: number; readonly stops: readonly string[]; readonly model: string },
    response: ServerResponse,
  ): Promise<{ readonly tokens: number; readonly reason: string }> {
    const everyMs = 1000 / (this.#options.rate ?? 500);
    const begun = performance.now();
    const held = new HeldBack(stops);
    let count = 0;
    response.setHeader('Content-Type', 'application/x-ndjson');
    for (const token of tokens) {
      if (count >= most || response.destroyed) break;
      count++;
      const due = begun + count * everyMs - performance.now();
      if (due > 1) await pause(due);
      const { given, ended } = held.push(token);
      if (given !== '' && !response.write(`${chunk(model, given)}\n`))
        await Promise.race([once(response, 'drain'), once(response, 'close')]);
      if (ended) return { tokens: count, reason: 'stop' };
    }
    const rest = held.flush();
    if (rest !== '') response.write(`${chunk(model, rest)}\n`);
    return { tokens: count, reason: count >= most ? 'length' : 'stop' };
  }
}

/** Text that may be the beginning of a stop string waits, as it does in the engine; what follows one is dropped. */
class HeldBack {
  readonly #stops: readonly string[];
  #text = '';

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  push(token: string): { readonly given: string; readonly ended: boolean } {
    this.#text += token;
    const at = Math.min(...this.#stops.map((stop) => this.#text.indexOf(stop)).filter((index) => index >= 0));
    if (Number.isFinite(at)) return { given: this.#take(at), ended: true };
    const maybe = this.#stops.some((stop) =>
      Array.from(stop, (_, i) => stop.slice(0, i + 1)).some((beginning) => this.#text.endsWith(beginning)),
    );
    return { given: maybe ? '' : this.#take(this.#text.length), ended: false };
  }

  flush(): string {
    return this.#take(this.#text.length);
  }

  #take(length: number): string {
    const taken = this.#text.slice(0, length);
    this.#text = this.#text.slice(length);
    return taken;
  }
}

function* wordTokens(messages: readonly { content: string }[], options: OllamaRequest['body']): Generator<string> {
  const chance = options.temperature > 0 ? `${options.seed}` : '';
  const prompt = createHash('sha256')
    .update(`${JSON.stringify(messages)}${chance}`)
    .digest('hex');
  const seed = replaySeed([{ role: Role.ROLE_USER, text: prompt }]);
  for (let position = 0; ; position++) yield replayToken(seed, position);
}

/** The least that a schema allows, in pieces of three characters. */
function schemaTokens(schema: object): string[] {
  const characters = [...JSON.stringify(instanceOf(schema as OllamaRequest['body']))];
  return Array.from({ length: Math.ceil(characters.length / 3) }, (_, i) => characters.slice(i * 3, i * 3 + 3).join(''));
}

function instanceOf(schema: OllamaRequest['body']): unknown {
  if (schema.enum) return schema.enum[0];
  if (schema.type === 'object') {
    return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, part]) => [name, instanceOf(part)]));
  }
  return schema.type === 'integer' || schema.type === 'number' ? 3 : 'text';
}

const countWords = (content: string) => content.split(/\s+/).filter(Boolean).length;

function embeddingsOf({ model, input }: OllamaRequest['body']): object {
  const read = (input as string[]).map((each) => wordsOf(each).slice(0, 256));
  return {
    model,
    embeddings: read.map((words) => [...replayVector(words.join(' '), 384)]),
    total_duration: 12_000_000,
    load_duration: 1_000_000,
    prompt_eval_count: read.reduce((sum, words) => sum + words.length + 2, 0),
  };
}

function tooLong(tokens: number, room: number): string {
  return recorded('too-long.json').replaceAll('8889', String(tokens)).replaceAll('4096', String(room));
}

export function chunk(model: string, content: string, more: object = { done: false }): string {
  return JSON.stringify({ model, created_at: '2026-11-20T09:14:02.113608Z', message: { role: 'assistant', content }, ...more });
}

function json(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8' }).end(body);
}
