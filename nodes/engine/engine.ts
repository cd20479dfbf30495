/**
 * An engine as the agent sees it: a backend that stays, whatever happens to the process it runs in.
 *
 *   loading -> ready -> (crashed -> loading -> ready)* -> disposed
 *
 * A crash ends every sink with ENGINE_CRASHED; the engine is then started again with growing, jittered pauses.
 */
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Embedding, Job, Load, Run, Sink } from '../backends/backend.ts';

export type EngineState =
  | { readonly type: 'loading'; readonly fraction: number }
  | { readonly type: 'ready'; readonly model: ServedModel }
  /** `message` says what happened: signal, exit code or the engine's last words; never user text. */
  | { readonly type: 'crashed'; readonly message: string; readonly restartInMs: number }
  | { readonly type: 'disposed' };

export interface Engine {
  readonly state: EngineState;
  /** How often the engine died since it was made. */
  readonly crashes: number;
  /** Of its process, where it has one of its own and that runs now. */
  readonly pid?: number | undefined;
  /** Called on every change of state, never during the call that subscribes. Returns the unsubscribe. */
  onState(listener: (state: EngineState) => void): () => void;
  /** Resolves when first ready. @throws Fault ENGINE_FAILED when the first load fails for good (bad file, no memory). */
  start(): Promise<ServedModel>;
  /** Never throws: when the engine is not ready the sink ends with ENGINE_CRASHED. */
  generate(job: Job, sink: Sink): Run;
  /** As the backend's; UNSUPPORTED where it has none. */
  embed(texts: readonly string[], signal: AbortSignal): Promise<Embedding>;
  currentLoad(): Load;
  /** Ends what runs, frees the weights, ends the process; resolves when it is gone. */
  dispose(): Promise<void>;
}
