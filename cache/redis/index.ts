/** The door: a store for a router, in Redis where a URL is given, else in memory. */
import type { Clock } from '../clock.ts';
import { MemoryStore } from '../memory-store.ts';
import type { Store } from '../port.ts';
import { connectClient } from './client.ts';
import type { RedisChange } from './link.ts';
import { RedisConnection } from './link.ts';
import { RedisStore } from './store.ts';
import { parseRedisUrl } from './url.ts';

export type { RedisChange, RedisStatus } from './link.ts';
export { RedisConnection } from './link.ts';

export interface StoreOptions {
  /** As parseRedisUrl takes it; absent: memory. */
  readonly url?: string | undefined;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  /** Of the memory store, in bytes. */
  readonly memoryBytes: number;
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
export function openStore({ url, clock, memoryBytes, onState }: StoreOptions): OpenStore {
  if (url === undefined) return { store: new MemoryStore(memoryBytes, clock), link: undefined };
  const target = parseRedisUrl(url);
  const connect = (events: Parameters<typeof connectClient>[1]) => connectClient(target, events);
  const link = new RedisConnection({ kind: target.kind, clock, connect, onState });
  return { store: new RedisStore(link), link };
}
