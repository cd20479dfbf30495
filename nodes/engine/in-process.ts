/** An engine around a backend in this process: for backends without native code, which cannot take the process down. */
import { Fault } from '../../proto/contract/faults.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Backend, Embedding, Job, Load, LoadOptions, Run, Sink } from '../backends/backend.ts';
import type { Engine, EngineState } from './engine.ts';
import { ObservedState } from './observed-state.ts';
import { NO_VECTORS, notReady, refuse } from './refuse.ts';

export class InProcessEngine implements Engine {
  readonly crashes = 0;
  readonly #makeBackend: () => Promise<Backend>;
  readonly #options: LoadOptions;
  readonly #state = new ObservedState();
  #backend: Backend | undefined;
  #started: Promise<ServedModel> | undefined;

  constructor(makeBackend: () => Promise<Backend>, options: LoadOptions) {
    this.#makeBackend = makeBackend;
    this.#options = options;
  }

  get state(): EngineState {
    return this.#state.current;
  }

  onState(listener: (state: EngineState) => void): () => void {
    return this.#state.subscribe(listener);
  }

  start(): Promise<ServedModel> {
    this.#started ??= this.#start();
    return this.#started;
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
    return this.#backend?.currentLoad() ?? { running: 0, queued: 0, queuedPromptTokens: 0, kvCacheUse: 0 };
  }

  async dispose(): Promise<void> {
    this.#state.set({ type: 'disposed' });
    await this.#started?.catch(() => {});
    await this.#backend?.dispose();
  }

  async #start(): Promise<ServedModel> {
    try {
      const backend = await this.#makeBackend();
      const model = await backend.load(this.#options, (fraction) => this.#state.set({ type: 'loading', fraction }));
      this.#backend = backend;
      if (this.#state.current.type === 'disposed') throw new Fault('ENGINE_FAILED', 'the engine was disposed while it loaded');
      this.#state.set({ type: 'ready', model });
      return model;
    } catch (error) {
      this.#state.set({ type: 'disposed' });
      throw error;
    }
  }
}
