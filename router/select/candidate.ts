/** What selection looks at, and what it says. All values; nothing here can change the fleet. */
import type { NodeState, ServedModel, Tier } from '../../proto/gen/infermesh/v1/types.ts';
import type { Task } from '../classify/task.ts';

/** One (model, node) pair at one moment. */
export interface Candidate {
  readonly node: string;
  readonly state: NodeState;
  /** Not serving now, has been a moment ago, and is expected to again. */
  readonly returning: boolean;
  readonly model: ServedModel;
  /** Slots that this router may still take. */
  readonly freeSlots: number;
  /** Requests generating there now. */
  readonly running: number;
  /** Accepted and not yet read, of all requests there. */
  readonly queuedPromptTokens: number;
  /** Of answers, still to come, of this router's requests there. */
  readonly expectedTokens: number;
}

export type Target =
  | { readonly type: 'auto' }
  | { readonly type: 'model'; readonly name: string }
  | { readonly type: 'tier'; readonly tier: Tier };

/** What a request asks of whoever answers it. */
export interface Ask {
  readonly target: Target;
  readonly task: Task;
  readonly promptBytes: number;
  /** Estimates: see classify/size.ts. */
  readonly promptTokens: number;
  readonly expectedOutputTokens: number;
  readonly structured: boolean;
  /** Left of the deadline, in milliseconds. */
  readonly remainingMs: number;
}

/** In milliseconds from now. */
export interface Estimate {
  readonly waitMs: number;
  readonly firstTokenMs: number;
  readonly totalMs: number;
  /** Before this no first token can come. */
  readonly soonestMs: number;
}

export interface Considered {
  readonly candidate: Candidate;
  readonly estimate: Estimate;
  /** Why it is out of the question; undefined when it is not. */
  readonly exclusion: Exclusion | undefined;
}

/** `busy` passes by itself when a slot is freed; the others do not. */
export interface Exclusion {
  readonly filter: string;
  readonly reason: string;
  readonly busy: boolean;
}

export interface Decision {
  readonly chosen: Considered | undefined;
  /** Chosen first, then by estimate, then the excluded. */
  readonly considered: readonly Considered[];
  readonly task: Task;
  /** One sentence for people; never the prompt. */
  readonly reason: string;
}
