/** The door: a store in Redis, and the link that leads there. */
import type { Clock } from '../clock.ts';
import type { Store } from '../port.ts';
import type { ClientEvents } from './client.ts';
import { COMMAND_LIMIT_MS, connectClient } from './client.ts';
import { RedisConnection } from './link.ts';
import type { RedisChange } from './standing.ts';
import { RedisStore } from './store.ts';
import { parseRedisUrl } from './url.ts';

export type { RedisConnection } from './link.ts';
export type { RedisChange } from './standing.ts';

export interface RedisOptions {
  /** As parseRedisUrl takes it. */
  readonly url: string;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  /** How long an answer of Redis is waited for, in milliseconds; absent: ASK_LIMIT_MS. For a Redis that is far away. */
  readonly limitMs?: number | undefined;
  /** Told of Redis: the first state, and each change. */
  readonly onState?: ((change: RedisChange) => void) | undefined;
}

export interface OpenRedis {
  /** Ends the link with it. */
  readonly store: Store;
  readonly link: RedisConnection;
}

/**
 * Returns at once, whether or not Redis is there.
 * @throws Fault INVALID_REQUEST for a URL of none of the forms
 */
export function openRedis({ url, clock, limitMs, onState }: RedisOptions): OpenRedis {
  const target = parseRedisUrl(url);
  const commandLimitMs = Math.max(2 * (limitMs ?? 0), COMMAND_LIMIT_MS);
  const connect = (events: ClientEvents) => connectClient(target, events, commandLimitMs);
  const link = new RedisConnection({ kind: target.kind, clock, connect, limitMs, onState });
  return { store: new RedisStore(link), link };
}
