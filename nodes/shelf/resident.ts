/**
 * A model in memory: its engine, what its KV cache holds, and the work that the engine has.
 *
 *   loading -> ready <-> recovering -> leaving -> gone
 *
 * Work belongs to the engine that it began on: where another engine takes the model's name over, it ends here.
 */
import { ModelStage } from '../../proto/gen/infermesh/v1/link.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Engine, EngineState } from '../engine/engine.ts';
import { CachedPrefixes } from '../prefixes.ts';
import type { PreparedModel } from './source.ts';
import type { OnStep } from './view.ts';

export interface ShelfClock {
  /** Milliseconds, monotonic. */
  now(): number;
  /** Returns the cancel. */
  after(ms: number, run: () => void): () => void;
}

/** Something at work that can be given up for another node to go on with. */
export interface Returnable {
  handBack(): void;
}

export interface ResidentParts {
  readonly clock: ShelfClock;
  /** Memory that an engine's process holds; 0 where that cannot be told. */
  readonly measure: (pid: number) => number;
  /** Told of every change of the engine's state, after this has taken note of it. */
  readonly onState: (state: EngineState) => void;
}

export class Resident {
  readonly engine: Engine;
  readonly prefixes: CachedPrefixes;
  readonly remote: boolean;
  readonly #parts: ResidentParts;
  readonly #works = new Set<Returnable>();
  readonly #unsubscribe: () => void;
  #served: ServedModel;
  #memoryBytes: number;
  #taken = 0;
  #lastUsedAt: number;
  #loadMs = 0;
  #onLess: (() => void) | undefined;
  #disposed: Promise<void> | undefined;

  constructor({ served, needBytes, remote, makeEngine }: PreparedModel, parts: ResidentParts) {
    this.#parts = parts;
    this.#served = served;
    this.#memoryBytes = needBytes;
    this.remote = remote;
    this.prefixes = new CachedPrefixes(served.slots);
    this.#lastUsedAt = parts.clock.now();
    this.engine = makeEngine();
    this.#unsubscribe = this.engine.onState((state) => this.#engineChanged(state));
  }

  /** As the engine measured it, once it has. */
  get served(): ServedModel {
    return this.#served;
  }

  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  /** Assignments and embeds that are not over. */
  get taken(): number {
    return this.#taken;
  }

  get lastUsedAt(): number {
    return this.#lastUsedAt;
  }

  /** How long loading it took, in milliseconds; 0 while it has not been. */
  get loadMs(): number {
    return this.#loadMs;
  }

  get ready(): boolean {
    return this.engine.state.type === 'ready';
  }

  /** Loads and warms up. @throws Fault as `Engine.start` */
  async start(onStep: OnStep): Promise<void> {
    const begunAt = this.#parts.clock.now();
    const tell = (fraction: number) => onStep({ stage: ModelStage.MODEL_STAGE_LOADING, fraction });
    tell(0);
    const unsubscribe = this.engine.onState((state) => state.type === 'loading' && tell(state.fraction));
    try {
      await this.engine.start();
    } finally {
      unsubscribe();
    }
    this.#loadMs = this.#parts.clock.now() - begunAt;
    this.#lastUsedAt = this.#parts.clock.now();
  }

  /**
   * Counts what `make` begins as work here, until it calls `over`.
   * @param canary a router only looks whether the engine lives, which is no use of the model
   */
  begin<Work extends Returnable>(make: (over: () => void) => Work, canary = false): Work {
    let work: Work | undefined;
    let isOver = false;
    const over = () => {
      if (isOver) return;
      isOver = true;
      if (work) this.#works.delete(work);
      this.#count(-1, canary);
    };
    this.#count(1, canary);
    work = make(over);
    if (!isOver) this.#works.add(work);
    return work;
  }

  #count(more: 1 | -1, canary: boolean): void {
    this.#taken += more;
    if (!canary) this.#lastUsedAt = this.#parts.clock.now();
    if (more < 0) this.#onLess?.();
  }

  #engineChanged(state: EngineState): void {
    if (state.type === 'ready') {
      this.#measure(state.model);
    } else if (state.type === 'crashed') {
      this.prefixes.clear();
    }
    this.#parts.onState(state);
  }

  #measure(model: ServedModel): void {
    const { pid } = this.engine;
    const measured = pid === undefined ? 0 : this.#parts.measure(pid);
    if (measured > 0) this.#memoryBytes = measured;
    const known = model.memoryBytes > 0 || this.#memoryBytes === 0;
    this.#served = known ? model : { ...model, memoryBytes: this.#memoryBytes };
  }

  /**
   * Resolves when nothing is at work on it: within the limit it waits, then it hands back what is left.
   * @param signal aborted: nothing is waited for, and nothing handed back
   */
  async drain(limitMs: number, onStep: OnStep, signal: AbortSignal): Promise<void> {
    const atFirst = this.#taken;
    if (atFirst === 0 || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const tell = () =>
      onStep({ stage: ModelStage.MODEL_STAGE_DRAINING, fraction: Math.max(0, (atFirst - this.#taken) / atFirst) });
    tell();
    this.#onLess = () => (this.#taken === 0 ? resolve() : tell());
    const cancelLimit = this.#parts.clock.after(limitMs, resolve);
    const onAbort = () => resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    await promise;
    signal.removeEventListener('abort', onAbort);
    this.#onLess = undefined;
    cancelLimit();
    if (!signal.aborted) for (const work of [...this.#works]) work.handBack();
  }

  /** Ends the engine, and with it what still runs; resolves when it is gone. */
  dispose(): Promise<void> {
    this.#disposed ??= this.engine.dispose().finally(this.#unsubscribe);
    return this.#disposed;
  }
}
