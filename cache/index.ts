/** The door of this folder. */
import type { RedisStats } from '../proto/gen/infermesh/v1/admin.ts';
import { RedisState } from '../proto/gen/infermesh/v1/admin.ts';
import type { CacheEvent } from '../telemetry/cache-events.ts';
import type { LimitedMemory } from '../telemetry/host/memory.ts';
import { MeshCache } from './cache.ts';
import type { Clock } from './clock.ts';
import { MemoryStore } from './memory-store.ts';
import { prefixOf } from './names.ts';
import { cacheOff } from './off.ts';
import type { Cache, RedisLink } from './port.ts';
import type { RedisChange, RedisConnection } from './redis/index.ts';
import type { SemanticCache } from './semantic/index.ts';
import type { Shared } from './shared/exchange.ts';

/** For leases, which are all that the store of a router without Redis holds. */
const LEASES_BYTES = 1 << 20;

export interface CacheOptions {
  /** Of the mesh: routers with the same one share what they keep in one Redis. */
  readonly secret: string;
  /** Of this process, for all layers together. */
  readonly memoryBytes: number;
  /** Of Redis; absent: memory is all there is. */
  readonly url?: string | undefined;
  /** Path of the snapshot that a cache without Redis keeps; absent: none. */
  readonly snapshot?: string | undefined;
  /** How full memory is, for a cache that gives some back where it is short; absent: it never does. */
  readonly memory?: (() => LimitedMemory) | undefined;
  readonly clock: Clock;
  readonly tell: (event: CacheEvent) => void;
}

export interface OpenCache {
  /** Ends the link with it. */
  readonly cache: Cache;
  /** Undefined without Redis. */
  readonly link: RedisLink | undefined;
  /** What else routers share through Redis goes this way; undefined without it. */
  readonly shared: Shared | undefined;
}

/**
 * Does not wait for Redis, which is joined in the background.
 * @throws Fault INVALID_REQUEST for a URL of none of the forms
 */
export async function openCache({ url, tell, clock, ...options }: CacheOptions): Promise<OpenCache> {
  if (url === undefined) {
    const store = new MemoryStore(LEASES_BYTES, clock);
    return { cache: new MeshCache({ ...options, store, clock, tell }), link: undefined, shared: undefined };
  }
  // What a router without Redis has no use for takes longer to load than the rest of the cache.
  const { openRedis } = await import('./redis/index.ts');
  const { store, link } = openRedis({ url, clock, onState: (change) => tell(eventOf(change)) });
  const cache = new MeshCache({ ...options, store, redis: () => statsOf(link), clock, tell });
  return { cache, link, shared: { store, keys: cache.keys } };
}

export interface SemanticNeeds {
  readonly clock: Clock;
  readonly random: () => number;
  readonly tell: (event: CacheEvent) => void;
}

/** Prompts compared by what they mean; few routers want it, and its word lists and index take long to load. */
export async function openSemantic({ cache, link }: OpenCache, needs: SemanticNeeds): Promise<SemanticCache> {
  const { openSemanticCache } = await import('./semantic/index.ts');
  const semantic = await openSemanticCache({ ...needs, link, prefix: prefixOf('semantic') });
  cache.onForget((prefixes) => semantic.purge(prefixes));
  return semantic;
}

/** One that keeps nothing. */
export function openNoCache(clock: Clock): OpenCache {
  return { cache: cacheOff(new MemoryStore(LEASES_BYTES, clock)), link: undefined, shared: undefined };
}

function eventOf({ state, reason }: RedisChange): CacheEvent {
  if (state === 'up') return { type: 'redis_up' };
  return { type: state === 'limited' ? 'redis_limited' : 'redis_down', reason };
}

function statsOf(link: RedisConnection): RedisStats {
  const { state, version, calls, failed, skipped } = link.status();
  const shown = state === 'down' ? RedisState.REDIS_STATE_DOWN : RedisState.REDIS_STATE_UP;
  return { state: shown, kind: link.kind, version, calls, failed, skipped };
}
