/** An engine and a router's wishes without either: what a node's parts are given to work with. */
import type { Embedding, Job, Load, Run, Sink } from '../../nodes/backends/backend.ts';
import { REAL_DEPS } from '../../nodes/engine/child-engine.ts';
import type { Engine, EngineState } from '../../nodes/engine/engine.ts';
import { Shelf } from '../../nodes/shelf/shelf.ts';
import { Fault } from '../../proto/contract/faults.ts';
import type { Pressure, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { PressureLevel, ServedModel as ServedModelType } from '../../proto/gen/infermesh/v1/types.ts';

export const NO_TIMINGS = { queueMs: 0, prefillMs: 0, decodeMs: 0 };
export const CANCELLED = { type: 'failure', reason: 'CANCELLED', message: 'cancelled' } as const;

/** A job that the engine was given, and what was asked of it since. */
export interface FakeJob {
  readonly job: Job;
  readonly sink: Sink;
  readonly asked: ('cancel' | 'pause' | 'resume')[];
}

/** Texts that the engine was given. */
export interface FakeEmbed {
  readonly texts: readonly string[];
  readonly signal: AbortSignal;
  end(embedding: Embedding): void;
}

/** An engine whose jobs say and do what the test says. */
export class FakeEngine implements Engine {
  state: EngineState = { type: 'loading', fraction: 0 };
  crashes = 0;
  disposals = 0;
  readonly jobs: FakeJob[] = [];
  readonly #listeners = new Set<(state: EngineState) => void>();
  readonly #first = Promise.withResolvers<ServedModel>();

  constructor() {
    this.#first.promise.catch(() => {});
  }

  become(state: EngineState): void {
    if (state.type === 'crashed') this.crashes++;
    if (state.type === 'ready') this.#first.resolve(state.model);
    if (state.type === 'disposed') this.#first.reject(new Fault('ENGINE_FAILED', 'the engine gave up'));
    this.state = state;
    for (const listener of this.#listeners) listener(state);
  }

  onState(listener: (state: EngineState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** It becomes what the test says. */
  start(): Promise<ServedModel> {
    return this.#first.promise;
  }

  readonly generate = (job: Job, sink: Sink): Run => {
    const given: FakeJob = { job, sink, asked: [] };
    this.jobs.push(given);
    const note = (wish: FakeJob['asked'][number]) => () => given.asked.push(wish);
    return { cancel: note('cancel'), pause: note('pause'), resume: note('resume') };
  };

  /** Those that were not ended yet, in their order. */
  readonly embeds: FakeEmbed[] = [];

  readonly embed = (texts: readonly string[], signal: AbortSignal): Promise<Embedding> =>
    new Promise((end) => this.embeds.push({ texts, signal, end }));

  currentLoad(): Load {
    return { running: this.jobs.length, queued: 0, queuedPromptTokens: 0, kvCacheUse: 0 };
  }

  dispose(): Promise<void> {
    this.disposals++;
    this.become({ type: 'disposed' });
    return Promise.resolve();
  }
}

export function servedModel(overrides: Partial<ServedModel> = {}): ServedModel {
  return ServedModelType.fromPartial({ name: 'm', engine: 'replay', slots: 4, contextLength: 512, ...overrides });
}

/** Of a machine with memory enough, until the test says otherwise. */
export class FakePressure {
  report: Pressure = { level: PressureLevel.PRESSURE_LEVEL_NONE, use: 0.5, limitBytes: 1024, steps: [] };
  sheds = false;
  #listener = () => {};

  onChange(listener: () => void): () => void {
    this.#listener = listener;
    return () => {};
  }

  shed(): void {
    this.sheds = true;
    this.report = { level: PressureLevel.PRESSURE_LEVEL_CRITICAL, use: 0.97, limitBytes: 1024, steps: ['smaller-tier', 'shed'] };
    this.#listener();
  }
}

/** A shelf with one model, which the node begins with on the engine that is given. */
export function shelfOf(engine: Engine, served: ServedModel): Shelf {
  const prepared = { served, needBytes: 0, remote: false, makeEngine: () => engine };
  const shelf = new Shelf({
    source: { prepare: async () => prepared },
    budgetBytes: 1,
    freeBytes: () => 1,
    measure: () => 0,
    clock: REAL_DEPS,
    tell() {},
  });
  shelf.announce(prepared);
  shelf.load(served.name, { atStart: true }).catch(() => {});
  return shelf;
}
