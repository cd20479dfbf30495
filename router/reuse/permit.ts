/** What one request may do with the cache. Pure. */
import { Fault } from '../../proto/contract/faults.ts';
import type { ChatRequest } from '../../proto/gen/infermesh/v1/inference.ts';
import { CacheMode } from '../../proto/gen/infermesh/v1/inference.ts';
import { FinishReason } from '../../proto/gen/infermesh/v1/types.ts';
import type { CachePolicy } from '../select/policy.ts';

export interface Permit {
  /** May be answered from the cache, or along with an equal request that is being answered. */
  readonly reads: boolean;
  /** Its answer may be kept. */
  readonly writes: boolean;
  /** Is not to be generated. */
  readonly onlyCached: boolean;
  /** The same request gives the same answer also where another node goes on with it in the middle. */
  readonly greedy: boolean;
  /** The answer to a prompt that means the same will do. */
  readonly semantic: boolean;
  readonly paced: boolean;
  /** How long its answer may be used again. */
  readonly ttlMs: number;
}

export function permitOf({ cache, sampling }: Pick<ChatRequest, 'cache' | 'sampling'>, policy: CachePolicy): Permit {
  const mode = cache?.mode ?? CacheMode.CACHE_MODE_UNSPECIFIED;
  const greedy = sampling?.temperature === 0;
  // What chance draws is another answer each time, and its caller may want just that.
  const repeats = greedy || sampling?.seed !== undefined || (cache?.sampled ?? policy.sampled);
  const uses = repeats && mode !== CacheMode.CACHE_MODE_BYPASS;
  const onlyCached = wantsOnlyCached({ cache });
  const reads = uses && mode !== CacheMode.CACHE_MODE_REFRESH;
  return {
    reads,
    writes: uses && !onlyCached,
    onlyCached,
    greedy,
    semantic: reads && (cache?.semantic ?? policy.semantic),
    paced: cache?.paced ?? false,
    ttlMs: (cache?.ttlSeconds ?? policy.ttlSeconds) * 1000,
  };
}

/** Whether it is to be answered from the cache, or not at all. */
export function wantsOnlyCached({ cache }: Pick<ChatRequest, 'cache'>): boolean {
  return cache?.mode === CacheMode.CACHE_MODE_ONLY_IF_CACHED;
}

export const notCached = () => new Fault('NOT_CACHED', 'the answer is not in the cache');

/** How an answer came about. */
export interface Outcome {
  readonly reason: FinishReason;
  /** Nothing of it is missing from what was kept, and it began here. */
  readonly isWhole: boolean;
  readonly migrations: number;
}

/** Whether an answer may be given again: one that was cut off, or drawn by two nodes, may not. */
export function mayKeep({ writes, greedy }: Permit, { reason, isWhole, migrations }: Outcome): boolean {
  const ended = reason === FinishReason.FINISH_REASON_STOP || reason === FinishReason.FINISH_REASON_STOP_STRING;
  return writes && ended && isWhole && (migrations === 0 || greedy);
}
