/** Vectors of texts by a server with the API of OpenAI, with a model that makes nothing else. */
import { Fault } from '../../proto/contract/faults.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Backend, Embedding, Job, Load, LoadOptions, Run, Sink } from './backend.ts';
import type { Failure } from './job-run.ts';
import { asFault, failure } from './job-run.ts';
import { answersNothing, MEASURED_TEXT, NO_LOAD } from './no-answers.ts';
import { cutToBytes, LIMITS, readVectors } from './openai/embedding.ts';
import { codeOf, Refused } from './openai/http.ts';
import { servedBy } from './openai/served.ts';
import type { Server } from './openai/server.ts';
import { findServer, lookAfter } from './openai/server.ts';
import { UNREACHABLE_MS } from './retry-after.ts';
import { ServerLife } from './server-life.ts';

export class OpenAiEmbeddings implements Backend {
  #server: Server | undefined;
  #contextLength = 0;
  readonly #running = new Set<Promise<unknown>>();
  readonly #cut = new AbortController();
  readonly #life = new ServerLife(
    () => (this.#server ? lookAfter(this.#server) : Promise.resolve()),
    () => this.#stop(),
  );

  async load(options: LoadOptions, progress: (fraction: number) => void): Promise<ServedModel> {
    const { contextLength } = options.model;
    const server = await findServer(options);
    this.#server = server;
    this.#contextLength = Math.min(contextLength, server.contextLength ?? contextLength);
    progress(0.5);
    const { dimensions, tokensPerSecond } = await this.#measure().catch(async (error: unknown) => {
      await this.dispose();
      throw error;
    });
    this.#life.watch();
    progress(1);
    const found = {
      contextLength: this.#contextLength,
      prefillTokensPerSecond: tokensPerSecond,
      embeddingDimensions: dimensions,
    };
    return servedBy(server, options, found);
  }

  onLost(listener: (message: string) => void): void {
    this.#life.onLost(listener);
  }

  generate(_job: Job, sink: Sink): Run {
    return answersNothing(sink);
  }

  async embed(texts: readonly string[], signal: AbortSignal): Promise<Embedding> {
    const both = AbortSignal.any([signal, this.#cut.signal]);
    const running = this.#embed(texts, both).catch((error: unknown) => this.#failureOf(error));
    this.#running.add(running);
    const embedding = await running;
    this.#running.delete(running);
    if (embedding.type === 'vectors') return embedding;
    return this.#life.over ?? (signal.aborted ? CANCELLED : embedding);
  }

  currentLoad(): Load {
    return NO_LOAD;
  }

  dispose(): Promise<void> {
    return this.#life.dispose();
  }

  async #stop(): Promise<void> {
    this.#cut.abort();
    await Promise.all(this.#running);
    this.#server?.http.close();
  }

  /** Texts that the server finds too long are cut, a little more each time, until their tokens fit for certain. */
  async #embed(texts: readonly string[], signal: AbortSignal): Promise<Embedding> {
    const { http, model } = this.#server as Server;
    for (const [attempt, bytesPerToken] of LIMITS.entries()) {
      const input = texts.map((text) => cutToBytes(text, this.#contextLength * bytesPerToken));
      try {
        const told = await http.postJson('/embeddings', { model, input, encoding_format: 'float' }, signal);
        return readVectors(told, texts.length);
      } catch (error) {
        const tooLong = error instanceof Refused && error.refusal.tooLong;
        if (!tooLong || attempt === LIMITS.length - 1) throw error;
      }
    }
    return failure('ENGINE_FAILED', 'the server finds every text too long');
  }

  #failureOf(error: unknown): Failure {
    if (error instanceof Refused) return error.refusal.failure;
    if (error instanceof Fault) return failure(error.reason, error.message);
    if (error instanceof SyntaxError) return failure('ENGINE_FAILED', 'the server sent vectors that are no JSON');
    this.#life.doubt();
    return failure('DRAINING', `the server cannot be reached (${codeOf(error)})`, UNREACHABLE_MS);
  }

  /** Warms up, then times one text. @throws Fault with what the server refused it for */
  async #measure(): Promise<{ readonly dimensions: number; readonly tokensPerSecond: number }> {
    const never = new AbortController().signal;
    let start = 0;
    let embedding: Embedding | undefined;
    for (let i = 0; i < 2; i++) {
      start = performance.now();
      embedding = await this.embed([MEASURED_TEXT], never);
      if (embedding.type === 'failure') throw asFault(embedding);
    }
    const { vectors, inputTokens } = embedding as Extract<Embedding, { type: 'vectors' }>;
    const seconds = (performance.now() - start) / 1000;
    return { dimensions: vectors[0]?.length ?? 0, tokensPerSecond: inputTokens / seconds };
  }
}

const CANCELLED = failure('CANCELLED', 'cancelled');
