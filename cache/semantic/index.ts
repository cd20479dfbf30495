/** The door: semantic reuse for one router. */
import type { Clock } from '../clock.ts';
import type { RedisLink } from '../port.ts';
import { MemoryIndex } from './memory-index.ts';
import type { SemanticEvent } from './semantic-cache.ts';
import { SemanticCache } from './semantic-cache.ts';
import { SharedIndex } from './shared-index.ts';
import { loadUsearch } from './usearch.ts';

export type { Disagreement } from './agree.ts';
export type { EmbeddingModel } from './secrets.ts';
export type {
  Asked,
  Prompt,
  SemanticCache,
  SemanticCounts,
  SemanticEvent,
  SemanticFind,
  SemanticHit,
  SemanticPolicy,
} from './semantic-cache.ts';

export interface SemanticOptions {
  /** Absent without Redis. */
  readonly link?: RedisLink | undefined;
  /** Of the names of all keys of the kind `semantic`, whoever's they are. */
  readonly prefix: string;
  readonly clock: Pick<Clock, 'now' | 'wall'>;
  /** From 0 to below 1. */
  readonly random: () => number;
  readonly tell: (event: SemanticEvent) => void;
}

/** Ends nothing but itself: the link is its owner's. */
export async function openSemanticCache({ link, prefix, clock, random, tell }: SemanticOptions): Promise<SemanticCache> {
  const local = new MemoryIndex(clock, await loadUsearch());
  const index = link ? new SharedIndex({ link, local, clock, prefix }) : local;
  return new SemanticCache({ index, clock, random, tell });
}
