/** What operators are told of the cache, and what they do to it. */
import type { Cache } from '../../cache/port.ts';
import { invalid } from '../../proto/contract/faults.ts';
import type {
  GetCacheStatsResponse,
  PurgeCacheRequest,
  PurgeCacheResponse,
  SemanticStats,
} from '../../proto/gen/infermesh/v1/admin.ts';
import { CacheLayer } from '../../proto/gen/infermesh/v1/admin.ts';
import type { Meaning } from '../reuse/meaning.ts';
import type { Tally } from '../tally.ts';

export interface CacheAdmin {
  stats(): Promise<GetCacheStatsResponse>;
  /** @throws Fault INVALID_REQUEST */
  purge(request: PurgeCacheRequest): Promise<PurgeCacheResponse>;
}

export interface CacheAdminParts {
  readonly cache: Cache;
  readonly meaning: Pick<Meaning, 'opened' | 'model'>;
  readonly tally: Pick<Tally, 'shared' | 'savedUsd'>;
}

/** Whose purge takes the answers that hits by meaning were given. */
const OF_ANSWERS: ReadonlySet<CacheLayer> = new Set([CacheLayer.CACHE_LAYER_UNSPECIFIED, CacheLayer.CACHE_LAYER_ANSWERS]);

export function cacheAdmin({ cache, meaning, tally }: CacheAdminParts): CacheAdmin {
  return {
    async stats() {
      const { shared, savedUsd } = tally;
      return { ...cache.stats(), shared, savedUsd, semantic: await semanticStats(meaning) };
    },
    async purge(request) {
      checkLayer(request);
      const purged = await cache.purge(request);
      // With the answers that were wrong go the checks that told so.
      if (OF_ANSWERS.has(request.layer)) (await meaning.opened)?.lift(request.tenant);
      return purged;
    },
  };
}

/** A number of a later version is not taken for none, which stands for all. */
function checkLayer({ layer }: PurgeCacheRequest): void {
  const known: readonly number[] = Object.values(CacheLayer);
  if (known.includes(layer)) return;
  throw invalid([{ field: 'layer', description: `must be 0 to ${Math.max(...known)}, received ${layer}` }]);
}

async function semanticStats({ opened, model }: CacheAdminParts['meaning']): Promise<SemanticStats | undefined> {
  const counts = await (await opened)?.stats();
  if (!counts) return undefined;
  const { index, entries, hits, guarded, checked, falseHits, falseHitRateUpper, stopped } = counts;
  return {
    active: model !== undefined,
    index,
    entries,
    hits,
    guarded,
    checked,
    falseHits,
    falseHitRateUpper,
    stopped: stopped > 0,
  };
}
