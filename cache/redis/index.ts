/** The door: a store for a router, in Redis where a URL is given, else in memory. */
import type { Clock } from '../clock.ts';
import { MemoryStore } from '../memory-store.ts';
import type { Store } from '../port.ts';
import type { ClientEvents } from './client.ts';
import { COMMAND_LIMIT_MS, connectClient } from './client.ts';
import { RedisConnection } from './link.ts';
import type { RedisChange } from './standing.ts';
import { RedisStore } from './store.ts';
import { parseRedisUrl } from './url.ts';

export type { RedisStatus } from './link.ts';
export { BACKGROUND_LIMIT_MS, RedisConnection } from './link.ts';
export type { RedisChange } from './standing.ts';

export interface StoreOptions {
  /** As parseRedisUrl takes it; absent: memory. */
  readonly url?: string | undefined;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  /** Of the memory store, in bytes. */
  readonly memoryBytes: number;
  /** How long an answer of Redis is waited for, in milliseconds; absent: ASK_LIMIT_MS. For a Redis that is far away. */
  readonly limitMs?: number | undefined;
  /** Told of Redis: the first state, and each change. */
  readonly onState?: ((change: RedisChange) => void) | undefined;
}

export interface OpenStore {
  /** Ends the link with it. */
  readonly store: Store;
  /** Undefined without a Redis. */
  readonly link: RedisConnection | undefined;
}

/**
 * Returns at once, whether or not Redis is there.
 * @throws Fault INVALID_REQUEST for a URL of none of the forms
 */
export function openStore({ url, clock, memoryBytes, limitMs, onState }: StoreOptions): OpenStore {
  if (url === undefined) return { store: new MemoryStore(memoryBytes, clock), link: undefined };
  const target = parseRedisUrl(url);
  const commandLimitMs = Math.max(2 * (limitMs ?? 0), COMMAND_LIMIT_MS);
  const connect = (events: ClientEvents) => connectClient(target, events, commandLimitMs);
  const link = new RedisConnection({ kind: target.kind, clock, connect, limitMs, onState });
  return { store: new RedisStore(link), link };
}
