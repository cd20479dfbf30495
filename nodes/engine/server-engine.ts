/**
 * An engine whose backend speaks to a server outside of this process, such as an Ollama, that other people start and
 * stop. The states are those of engine.ts: a lost server is a crash, and the backend is made anew, with the pauses of
 * backoff.ts, until the server answers again. That holds for the first load too, since a node and its server may be
 * started in any order, and for a server that takes no more for now; what else the first load fails of, such as a model
 * that nobody has, is told at once.
 */
import { Fault, toFault } from '../../proto/contract/faults.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Backend, Embedding, Job, Load, LoadOptions, Run, Sink } from '../backends/backend.ts';
import { BACKOFF, restartDelayMs } from './backoff.ts';
import type { ChildEngineDeps } from './child-engine.ts';
import { REAL_DEPS } from './child-engine.ts';
import type { Engine, EngineState } from './engine.ts';
import { ObservedState } from './observed-state.ts';
import { NO_VECTORS, notReady, refuse } from './refuse.ts';

const NO_LOAD: Load = { running: 0, queued: 0, queuedPromptTokens: 0, kvCacheUse: 0 };

export class ServerEngine implements Engine {
  readonly #makeBackend: () => Promise<Backend>;
  readonly #options: LoadOptions;
  readonly #deps: ChildEngineDeps;
  readonly #state = new ObservedState();
  readonly #first = Promise.withResolvers<ServedModel>();
  #backend: Backend | undefined;
  #launching: Promise<void> | undefined;
  #cancelRestart: (() => void) | undefined;
  #wasReady = false;
  #crashes = 0;
  #crashesInRow = 0;
  #readySince = 0;

  constructor(makeBackend: () => Promise<Backend>, options: LoadOptions, deps: Partial<ChildEngineDeps> = {}) {
    this.#makeBackend = makeBackend;
    this.#options = options;
    this.#deps = { ...REAL_DEPS, ...deps };
    // Who disposes the engine without having started it must not get an unhandled rejection.
    this.#first.promise.catch(() => {});
  }

  get state(): EngineState {
    return this.#state.current;
  }

  get #disposed(): boolean {
    return this.#state.current.type === 'disposed';
  }

  get crashes(): number {
    return this.#crashes;
  }

  onState(listener: (state: EngineState) => void): () => void {
    return this.#state.subscribe(listener);
  }

  start(): Promise<ServedModel> {
    this.#launching ??= this.#launch();
    return this.#first.promise;
  }

  generate(job: Job, sink: Sink): Run {
    if (this.#state.current.type !== 'ready' || !this.#backend) return refuse(job, sink, this.#state.current);
    return this.#backend.generate(job, sink);
  }

  embed(texts: readonly string[], signal: AbortSignal): Promise<Embedding> {
    const { type } = this.#state.current;
    if (type !== 'ready' || !this.#backend) return Promise.resolve(notReady(type));
    return this.#backend.embed?.(texts, signal) ?? Promise.resolve(NO_VECTORS);
  }

  currentLoad(): Load {
    return this.#backend?.currentLoad() ?? NO_LOAD;
  }

  async dispose(): Promise<void> {
    this.#state.set({ type: 'disposed' });
    this.#cancelRestart?.();
    this.#first.reject(new Fault('ENGINE_FAILED', 'the engine was disposed before it was ready'));
    // Cuts a load short, however long a model takes to be fetched.
    await this.#backend?.dispose();
    await this.#launching;
  }

  async #launch(): Promise<void> {
    this.#state.set({ type: 'loading', fraction: 0 });
    try {
      const backend = await this.#makeBackend();
      if (this.#disposed) return;
      this.#backend = backend;
      backend.onLost?.((message) => this.#lost(backend, message));
      const model = await backend.load(this.#options, (fraction) => this.#progress(fraction));
      if (this.#backend !== backend || this.#disposed) return;
      this.#wasReady = true;
      this.#readySince = this.#deps.now();
      this.#state.set({ type: 'ready', model });
      this.#first.resolve(model);
    } catch (thrown) {
      await this.#failed(toFault(thrown));
    }
  }

  #progress(fraction: number): void {
    if (this.#state.current.type === 'loading') this.#state.set({ type: 'loading', fraction });
  }

  async #failed(fault: Fault): Promise<void> {
    const backend = this.#backend;
    await backend?.dispose();
    if (this.#disposed) return;
    if (this.#wasReady || fault.retryable) return this.#crashed(fault.message, fault.retryAfterMs);
    this.#first.reject(fault);
    this.#state.set({ type: 'disposed' });
  }

  #lost(backend: Backend, message: string): void {
    if (backend === this.#backend && this.#state.current.type === 'ready') this.#crashed(message);
  }

  /** @param restMs for how long the server wants to be left alone */
  #crashed(message: string, restMs = 0): void {
    this.#backend = undefined;
    this.#crashes++;
    const { type } = this.#state.current;
    const recovered = type === 'ready' && this.#deps.now() - this.#readySince >= BACKOFF.recoveredAfterMs;
    this.#crashesInRow = recovered ? 1 : this.#crashesInRow + 1;
    const restartInMs = Math.max(restMs, restartDelayMs(this.#crashesInRow, this.#deps.random()));
    this.#cancelRestart = this.#deps.after(restartInMs, () => {
      this.#launching = this.#launch();
    });
    this.#state.set({ type: 'crashed', message, restartInMs });
  }
}
