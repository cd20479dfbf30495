/**
 * One list of texts that a router wants the vectors of, between the link and the engine. It is answered once: when the
 * engine is done or has stopped, when it is late, or when it is handed back. Over it is when the engine has stopped.
 */
import { Code, REASONS } from '../proto/contract/faults.ts';
import type { Embed, Embedded } from '../proto/gen/infermesh/v1/link.ts';
import type { WorkWatch } from '../telemetry/events.ts';
import type { Embedding } from './backends/backend.ts';
import type { Failure } from './backends/job-run.ts';
import { failure } from './backends/job-run.ts';
import type { Engine } from './engine/engine.ts';
import { HANDED_BACK } from './refusal.ts';
import { wireFailure } from './wire-failure.ts';

/** A timer that is set to more fires at once. */
const LONGEST_MS = 2 ** 31 - 1;

export interface EmbedTaskOptions {
  readonly embed: Embed;
  readonly engine: Pick<Engine, 'embed'>;
  readonly watch: WorkWatch;
  readonly answer: (embedded: Embedded) => void;
  /** Called once, when the engine has stopped, or the embed was handed back. */
  readonly onOver: () => void;
}

export class EmbedTask {
  readonly #request: number;
  readonly #watch: WorkWatch;
  readonly #answer: (embedded: Embedded) => void;
  readonly #onOver: () => void;
  readonly #cancel = new AbortController();
  readonly #deadline: NodeJS.Timeout;
  readonly #begunAt = performance.now();
  #answered = false;
  #over = false;

  constructor({ embed: { request, texts, deadlineMs }, engine, watch, answer, onOver }: EmbedTaskOptions) {
    this.#request = request;
    this.#watch = watch;
    this.#answer = answer;
    this.#onOver = onOver;
    this.#deadline = setTimeout(() => this.#cutShort(EXPIRED), Math.min(deadlineMs, LONGEST_MS));
    void engine.embed(texts, this.#cancel.signal).then((embedding) => {
      this.#tell(embedding);
      this.#end();
    });
  }

  /** Nobody waits for it any more; the router hears of its end when the engine has stopped. */
  cancel(): void {
    this.#cancel.abort();
  }

  /** The node leaves: another one makes them. */
  handBack(): void {
    this.#cutShort(HANDED_BACK);
    this.#end();
  }

  #cutShort(why: Failure): void {
    this.#tell(why);
    this.#cancel.abort();
  }

  #tell(embedding: Embedding): void {
    if (this.#answered) return;
    this.#answered = true;
    clearTimeout(this.#deadline);
    this.#answer({ request: this.#request, ...messageOf(embedding) });
    if (embedding.type === 'vectors') this.#watch.tell({ type: 'prefilling' });
    // The engine doesn't tell how long the texts waited for those of others.
    const timings = { queueMs: 0, prefillMs: performance.now() - this.#begunAt, decodeMs: 0 };
    this.#watch.tell({ type: 'ended', ...toldOutcome(embedding), tokens: 0, timings });
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#onOver();
  }
}

const EXPIRED = failure('DEADLINE_EXCEEDED', 'the deadline passed before all texts were read');

function messageOf(embedding: Embedding): Omit<Embedded, 'request'> {
  if (embedding.type === 'vectors') {
    const vectors = embedding.vectors.map((vector) => ({ values: [...vector] }));
    return { vectors, inputTokens: embedding.inputTokens };
  }
  return { vectors: [], inputTokens: 0, failure: wireFailure(embedding) };
}

function toldOutcome(embedding: Embedding) {
  if (embedding.type === 'vectors') {
    const usage = { inputTokens: embedding.inputTokens, outputTokens: 0, cachedInputTokens: 0 };
    return { outcome: 'finished', usage } as const;
  }
  const cancelled = REASONS[embedding.reason].code === Code.CANCELLED;
  return { outcome: cancelled ? 'cancelled' : 'failed', reason: embedding.reason } as const;
}
