/** What the parent and the engine's child process say to each other over Node's IPC channel. */
import type { Reason } from '../../proto/contract/faults.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Embedding, Job, Load, LoadOptions, Outcome, Timings } from '../backends/backend.ts';
import type { BackendName } from './registry.ts';

export type ToChild =
  | { readonly type: 'load'; readonly backend: BackendName; readonly options: LoadOptions }
  | { readonly type: 'generate'; readonly id: number; readonly job: Job }
  | { readonly type: 'cancel' | 'pause' | 'resume'; readonly id: number }
  | { readonly type: 'embed'; readonly id: number; readonly texts: readonly string[] }
  /** Embeds are numbered apart from jobs. */
  | { readonly type: 'cancel_embed'; readonly id: number }
  | { readonly type: 'dispose' };

/** About the job `id`, in the order in which the backend told it. */
export type JobEvent =
  | { readonly type: 'prefilling'; readonly id: number; readonly slot: number }
  | {
      readonly type: 'delta';
      readonly id: number;
      readonly seq: number;
      readonly tokens: number;
      readonly text: string;
      readonly tokenIds?: readonly number[] | undefined;
    }
  | { readonly type: 'end'; readonly id: number; readonly outcome: Outcome; readonly tokens: number; readonly timings: Timings };

export type ToParent =
  | { readonly type: 'progress'; readonly fraction: number }
  | { readonly type: 'loaded'; readonly model: ServedModel }
  | { readonly type: 'failed'; readonly reason: Reason; readonly message: string }
  | { readonly type: 'embedded'; readonly id: number; readonly embedding: Embedding }
  /** Everything of one turn of the child's event loop; `load` as it is after it. */
  | { readonly type: 'events'; readonly events: readonly JobEvent[]; readonly load: Load };
