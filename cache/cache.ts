/** The cache of one router: its layers, the store behind them, and what is done to all of them. */
import type { CacheLayerStats, PurgeCacheRequest, PurgeCacheResponse, RedisStats } from '../proto/gen/infermesh/v1/admin.ts';
import { CacheLayer as LayerId, RedisState } from '../proto/gen/infermesh/v1/admin.ts';
import type { CachedAnswer, CachedModel } from '../proto/gen/infermesh/v1/cache.ts';
import type { Clock } from './clock.ts';
import type { Codec } from './codecs.ts';
import { answerCodec, evidenceCodec, modelCodec, vectorCodec } from './codecs.ts';
import { SecretKeyring } from './keyring.ts';
import { CacheLayer } from './layer.ts';
import { prefixesOf } from './names.ts';
import type { Cache, LayerName, Store, StoredEvidence } from './port.ts';
import { Writer } from './writer.ts';

const MINUTE_MS = 60_000;
export const TTL_MS: Readonly<Record<LayerName, number>> = {
  answers: 15 * MINUTE_MS,
  evidence: 30 * MINUTE_MS,
  embeddings: 60 * MINUTE_MS,
};
/** Of the memory, in 32nds. */
const PARTS = { answers: 16, choices: 1, evidence: 7, embeddings: 8 };
const WHOLE = 32;

const LAYERS: Readonly<Record<LayerId, LayerName | undefined>> = {
  [LayerId.CACHE_LAYER_UNSPECIFIED]: undefined,
  [LayerId.CACHE_LAYER_ANSWERS]: 'answers',
  [LayerId.CACHE_LAYER_EVIDENCE]: 'evidence',
  [LayerId.CACHE_LAYER_EMBEDDINGS]: 'embeddings',
};

const NO_REDIS: RedisStats = { state: RedisState.REDIS_STATE_NONE, kind: '', version: '', calls: 0, failed: 0, skipped: 0 };

export interface CacheParts {
  /** Of the mesh: routers with the same one share what they keep in one Redis. */
  readonly secret: string;
  /** For all layers together. */
  readonly memoryBytes: number;
  readonly store: Store;
  /** Absent without Redis. */
  readonly redis?: (() => RedisStats) | undefined;
  readonly clock: Clock;
}

export class MeshCache implements Cache {
  readonly keys: SecretKeyring;
  readonly answers: CacheLayer<CachedAnswer>;
  readonly choices: CacheLayer<CachedModel>;
  readonly evidence: CacheLayer<StoredEvidence>;
  readonly embeddings: CacheLayer<Float32Array>;
  readonly store: Store;
  readonly #parts: CacheParts;
  readonly #writer: Writer;

  constructor(parts: CacheParts) {
    this.#parts = parts;
    this.store = parts.store;
    this.keys = new SecretKeyring(parts.secret);
    this.#writer = new Writer(parts.store, () => {});
    this.answers = this.#layer('answers', answerCodec, PARTS.answers);
    this.choices = this.#layer('answers', modelCodec, PARTS.choices);
    this.evidence = this.#layer('evidence', evidenceCodec, PARTS.evidence);
    this.embeddings = this.#layer('embeddings', vectorCodec, PARTS.embeddings);
  }

  stats() {
    const layers = [
      statsOf(LayerId.CACHE_LAYER_ANSWERS, this.answers, this.choices),
      statsOf(LayerId.CACHE_LAYER_EVIDENCE, this.evidence),
      statsOf(LayerId.CACHE_LAYER_EMBEDDINGS, this.embeddings),
    ];
    return { layers, redis: this.#parts.redis?.() ?? NO_REDIS };
  }

  async purge({ layer, tenant }: PurgeCacheRequest): Promise<PurgeCacheResponse> {
    const tag = tenant === undefined ? undefined : this.keys.tagOf(tenant || undefined);
    const prefixes = prefixesOf(LAYERS[layer], tag);
    const memory = prefixes.reduce((sum, prefix) => sum + this.#purgeMemory(prefix), 0);
    if (this.store.kind === 'memory') return { memory, redis: 0 };
    const stored = await Promise.all(prefixes.map((prefix) => this.store.purge(prefix)));
    return { memory, redis: stored.reduce((sum, count) => sum + count, 0) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
  }

  get #layers(): readonly AnyLayer[] {
    return [this.answers, this.choices, this.evidence, this.embeddings];
  }

  #purgeMemory(prefix: string): number {
    return this.#layers.reduce((sum, layer) => sum + layer.purge(prefix), 0);
  }

  #layer<Value>(name: LayerName, codec: Codec<Value>, part: number): CacheLayer<Value> {
    const { store, clock, memoryBytes } = this.#parts;
    const shared = store.kind === 'memory' ? undefined : { store, writer: this.#writer };
    return new CacheLayer({ name, codec, ttlMs: TTL_MS[name], limit: Math.floor((memoryBytes * part) / WHOLE), shared, clock });
  }
}

/** What does not depend on the kind of value. */
type AnyLayer = Pick<CacheLayer<never>, 'counts' | 'purge'> & {
  readonly held: Pick<CacheLayer<never>['held'], 'count' | 'bytes' | 'limit' | 'evicted'>;
};

/** @param beside what lies in the layer's memory and is not counted as its entries */
function statsOf(layer: LayerId, { held, counts }: AnyLayer, beside?: AnyLayer): CacheLayerStats {
  return {
    layer,
    ...counts,
    entries: held.count,
    bytes: held.bytes + (beside?.held.bytes ?? 0),
    bytesLimit: held.limit + (beside?.held.limit ?? 0),
    evicted: held.evicted,
  };
}
