/** What a router's cache tells, and the log lines it makes of that. No event has a key or a value of the cache. */
import type { Log } from './log.ts';

export type CacheEvent =
  /** Redis answers and takes what is written. */
  | { readonly type: 'redis_up' }
  /** It answers, and takes nothing: it is full, or read-only. */
  | { readonly type: 'redis_limited'; readonly reason: string }
  /** It did not answer in time, or not well, and is asked nothing until it does. */
  | { readonly type: 'redis_down'; readonly reason: string }
  /** What lies in Redis was sealed with another secret than this router's: nothing is shared with whoever has that one. */
  | { readonly type: 'cache_secret_differs' }
  /** More was to be written to Redis than it takes; the rest is kept by this router alone. */
  | { readonly type: 'cache_writes_lost' }
  /** The snapshot cannot be used, and the cache begins empty. `code` is the system's, or DAMAGED. */
  | { readonly type: 'cache_snapshot_ignored'; readonly code: string }
  /** The snapshot cannot be written; told once until it can. */
  | { readonly type: 'cache_snapshot_failed'; readonly code: string }
  /** Memory is short, and the cache keeps at most so many bytes of its own for now. */
  | { readonly type: 'cache_shrunk'; readonly cacheBytes: number; readonly usedBytes: number; readonly limitBytes: number }
  /** Memory is there again, and the cache may have so many bytes of it. */
  | { readonly type: 'cache_grown'; readonly cacheBytes: number; readonly usedBytes: number; readonly limitBytes: number }
  /** A hit by meaning was generated as well, and the two answers compared. */
  | { readonly type: 'semantic_checked'; readonly tenant: string; readonly same: boolean }
  /** Too many of a tenant's hits by meaning were false: it has none any more until an operator purges, or a restart. */
  | { readonly type: 'semantic_stopped'; readonly tenant: string; readonly checked: number; readonly falseHits: number };

/** docs/telemetry.md lists them. */
export const CACHE_LEVELS: Readonly<Record<CacheEvent['type'], 'debug' | 'info' | 'warn' | 'error'>> = {
  redis_up: 'info',
  redis_limited: 'warn',
  redis_down: 'warn',
  cache_secret_differs: 'warn',
  cache_writes_lost: 'warn',
  cache_snapshot_ignored: 'warn',
  cache_snapshot_failed: 'warn',
  cache_shrunk: 'warn',
  cache_grown: 'info',
  semantic_checked: 'debug',
  semantic_stopped: 'error',
};

/** The event's own fields are the line's. */
export function logCache(log: Log): (event: CacheEvent) => void {
  return ({ type, ...fields }) => log[CACHE_LEVELS[type]]({ event: type, ...fields }, type.replaceAll('_', ' '));
}
