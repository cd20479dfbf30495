/** Models, jobs and a sink for tests of engines. Knows no test runner, so that plain processes can use it too. */
import type { Delivered, Job, LoadOptions, Outcome, Sink, Timings } from '../../nodes/backends/backend.ts';
import { Role, Tier } from '../../proto/gen/infermesh/v1/types.ts';

export function loadOptions(overrides: Partial<LoadOptions['model']> & { readonly path: string }, slots = 4): LoadOptions {
  const model = {
    name: 'under-test',
    digest: `sha256:${'0'.repeat(64)}`,
    sizeBytes: 0,
    tier: Tier.TIER_FAST,
    tasks: [],
    quantization: 'none',
    licence: 'MIT',
    contextLength: 512,
    price: { inputUsdPerMillion: 0, outputUsdPerMillion: 0 },
    ...overrides,
  };
  return { model, slots, threads: 1, gpuLayers: 0 };
}

export function jobOf(prompt: string, overrides: Partial<Job> = {}): Job {
  return {
    messages: [{ role: Role.ROLE_USER, text: prompt }],
    sampling: {},
    maxTokens: 40,
    stop: [],
    jsonSchema: '',
    ...overrides,
  };
}

export interface End {
  readonly outcome: Outcome;
  readonly tokens: number;
  readonly timings: Timings;
}

/** A sink that keeps all it is told, checks the order, and lets a test wait for events. */
export class Recorder implements Sink {
  readonly deltas: { seq: number; tokens: number; text: string; tokenIds: readonly number[] }[] = [];
  readonly #from: number;
  readonly #end = Promise.withResolvers<End>();
  readonly #prefilling = Promise.withResolvers<void>();
  readonly #waiters: { tokens: number; resolve: () => void }[] = [];
  ends = 0;
  /** The one that the job got. */
  slot: number | undefined;
  prefills = 0;
  outOfOrder = 0;

  /** @param from position of the first token that is to come */
  constructor(from = 0) {
    this.#from = from;
  }

  get text(): string {
    return this.deltas.map((delta) => delta.text).join('');
  }

  get tokens(): number {
    return this.deltas.reduce((sum, delta) => sum + delta.tokens, 0);
  }

  /** Resolves with the end; that it comes is up to the test's time limit. */
  get ended(): Promise<End> {
    return this.#end.promise;
  }

  get began(): Promise<void> {
    return this.#prefilling.promise;
  }

  /** Resolves when that many tokens were delivered. */
  reached(tokens: number): Promise<void> {
    if (this.tokens >= tokens) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ tokens, resolve }));
  }

  prefilling(slot = 0): void {
    this.slot = slot;
    if (this.deltas.length > 0 || this.ends > 0) this.outOfOrder++;
    this.prefills++;
    this.#prefilling.resolve();
  }

  delta(seq: number, tokens: number, text: string, tokenIds: readonly number[] = []): void {
    if (this.prefills !== 1 || this.ends > 0 || seq !== this.#from + this.tokens) this.outOfOrder++;
    this.deltas.push({ seq, tokens, text, tokenIds });
    for (const waiter of this.#waiters) if (this.tokens >= waiter.tokens) waiter.resolve();
  }

  end(outcome: Outcome, tokens: number, timings: Timings): void {
    this.ends++;
    this.#end.resolve({ outcome, tokens, timings });
  }
}

/** What the reader of an answer has after so many of its pieces. */
export function deliveredAfter({ deltas }: Recorder, pieces: number): Delivered {
  const given = deltas.slice(0, pieces);
  return {
    tokens: given.reduce((sum, { tokens }) => sum + tokens, 0),
    text: given.map(({ text }) => text).join(''),
    tokenIds: given.flatMap(({ tokenIds }) => tokenIds),
  };
}
