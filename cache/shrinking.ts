/**
 * How much of its memory the cache keeps while the router's is short. Pure.
 *
 *   over 85 % of the limit: a half of what it had, down to an eighth of the whole; under 75 %: twice as much again
 *
 * A cache that is small beside the limit stays as it is: to forget answers would cost more than it frees.
 */

import type { CacheEvent } from '../telemetry/cache-events.ts';
import type { LimitedMemory } from '../telemetry/host/memory.ts';
import type { Clock } from './clock.ts';

const LOOK_EVERY_MS = 1_000;
const MARKS = { low: 0.75, high: 0.85 } as const;
const PACE = {
  /** How long memory is short before the first step, and from one to the next: what was forgotten is freed by and by. */
  settleMs: 10_000,
  /** How long it is free before a step is given back, and from one to the next. */
  calmMs: 60_000,
} as const;
const LEAST = 1 / 8;
/** Of the limit. */
const WORTH = 1 / 100;

interface MemoryLook extends Pick<LimitedMemory, 'usedBytes' | 'limitBytes'> {
  /** Milliseconds, monotonic. */
  readonly at: number;
  /** Of the used bytes, those of the cache. */
  readonly cacheBytes: number;
}

class Shrinking {
  /** Of the memory that the cache was given. */
  share = 1;
  #movedAt = Number.NEGATIVE_INFINITY;
  #shortSince: number | undefined;
  #calmSince: number | undefined;

  /** @returns whether the share is another one now */
  look({ at, usedBytes, limitBytes, cacheBytes }: MemoryLook): boolean {
    const use = usedBytes / limitBytes;
    const isShort = use >= MARKS.high && cacheBytes >= WORTH * limitBytes;
    this.#shortSince = isShort ? (this.#shortSince ?? at) : undefined;
    this.#calmSince = use < MARKS.low ? (this.#calmSince ?? at) : undefined;
    if (this.#isDue(at, this.#shortSince, PACE.settleMs) && this.share > LEAST) return this.#moved(at, this.share / 2);
    if (this.#isDue(at, this.#calmSince, PACE.calmMs) && this.share < 1) return this.#moved(at, this.share * 2);
    return false;
  }

  #isDue(at: number, since: number | undefined, ms: number): boolean {
    return since !== undefined && at - Math.max(since, this.#movedAt) >= ms;
  }

  #moved(at: number, share: number): true {
    this.share = share;
    this.#movedAt = at;
    return true;
  }
}

export interface ShrinkingParts {
  readonly memory: () => LimitedMemory;
  readonly layers: readonly { readonly held: { readonly bytes: number }; resize(share: number): void }[];
  /** For all layers together. */
  readonly memoryBytes: number;
  readonly clock: Pick<Clock, 'now' | 'every'>;
  readonly tell: (event: CacheEvent) => void;
}

/** @returns the end of it */
export function shrinkWith({ memory, layers, memoryBytes, clock, tell }: ShrinkingParts): () => void {
  const shrinking = new Shrinking();
  return clock.every(LOOK_EVERY_MS, () => {
    const { usedBytes, limitBytes } = memory();
    const cacheBytes = layers.reduce((sum, { held }) => sum + held.bytes, 0);
    const before = shrinking.share;
    if (!shrinking.look({ at: clock.now(), usedBytes, limitBytes, cacheBytes })) return;
    for (const layer of layers) layer.resize(shrinking.share);
    const type = shrinking.share < before ? 'cache_shrunk' : 'cache_grown';
    tell({ type, cacheBytes: Math.floor(memoryBytes * shrinking.share), usedBytes, limitBytes });
  });
}
