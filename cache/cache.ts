/** The cache of one router: its layers, the store behind them, and what is done to all of them. */
import type { CacheLayerStats, PurgeCacheRequest, PurgeCacheResponse, RedisStats } from '../proto/gen/infermesh/v1/admin.ts';
import { CacheLayer as LayerId, RedisState } from '../proto/gen/infermesh/v1/admin.ts';
import type { CachedAnswer, CachedModel } from '../proto/gen/infermesh/v1/cache.ts';
import type { CacheEvent } from '../telemetry/cache-events.ts';
import type { LimitedMemory } from '../telemetry/host/memory.ts';
import type { Clock } from './clock.ts';
import type { Codec } from './codecs.ts';
import { answerCodec, evidenceCodec, modelCodec, vectorCodec } from './codecs.ts';
import { SecretKeyring } from './keyring.ts';
import { CacheLayer } from './layer.ts';
import { kindOf, prefixesOf } from './names.ts';
import type { Cache, LayerName, Store, StoredEvidence } from './port.ts';
import { Purges } from './purges.ts';
import { SecretMark } from './secret-mark.ts';
import { shrinkWith } from './shrinking.ts';
import { SnapshotFile } from './snapshot-file.ts';
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

/** What one router puts or deletes of evidence, the others see so soon. Answers are as good as any that took their place. */
const EVIDENCE_BELIEVED_MS = 5000;
const LOOK_EVERY_MS = 1000;
/** For what is on its way to Redis when the router ends. */
const LAST_WRITES_MS = 500;

export const NO_REDIS: RedisStats = {
  state: RedisState.REDIS_STATE_NONE,
  kind: '',
  version: '',
  calls: 0,
  failed: 0,
  skipped: 0,
};

export interface CacheParts {
  /** Of the mesh: routers with the same one share what they keep in one Redis. */
  readonly secret: string;
  /** For all layers together. */
  readonly memoryBytes: number;
  readonly store: Store;
  /** Absent without Redis. */
  readonly redis?: (() => RedisStats) | undefined;
  /** Path of the snapshot, without Redis; absent: none is kept. */
  readonly snapshot?: string | undefined;
  /** How full memory is; absent: the cache never shrinks. */
  readonly memory?: (() => LimitedMemory) | undefined;
  readonly clock: Clock;
  readonly tell: (event: CacheEvent) => void;
}

export class MeshCache implements Cache {
  readonly keys: SecretKeyring;
  readonly answers: CacheLayer<CachedAnswer>;
  readonly choices: CacheLayer<CachedModel>;
  readonly evidence: CacheLayer<StoredEvidence>;
  readonly embeddings: CacheLayer<Float32Array>;
  readonly store: Store;
  readonly #parts: CacheParts;
  readonly #forgetters: ((prefixes: readonly string[]) => void)[] = [];
  readonly #writer: Writer;
  readonly #shared: Shared | undefined;
  readonly #snapshot: SnapshotFile | undefined = undefined;
  readonly #stopShrinking: (() => void) | undefined;

  constructor(parts: CacheParts) {
    const { store, secret, snapshot, memory, tell, clock } = parts;
    this.#parts = parts;
    this.store = store;
    this.keys = new SecretKeyring(secret);
    this.#writer = new Writer(store, () => tell({ type: 'cache_writes_lost' }));
    this.answers = this.#layer('answers', answerCodec, PARTS.answers);
    this.choices = this.#layer('answers', modelCodec, PARTS.choices);
    this.evidence = this.#layer('evidence', evidenceCodec, PARTS.evidence);
    this.embeddings = this.#layer('embeddings', vectorCodec, PARTS.embeddings);
    this.#shared = store.kind === 'memory' ? undefined : this.#share();
    this.#stopShrinking = memory && shrinkWith({ ...parts, memory, layers: Object.values<AnyLayer>(this.#layers) });
    if (snapshot !== undefined) this.#snapshot = new SnapshotFile({ path: snapshot, layers: this.#layers, clock, tell });
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
    if (this.#shared) return this.#shared.purges.purge(prefixes);
    const memory = this.#forget(prefixes);
    await this.#snapshot?.purged();
    return { memory, redis: 0 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#shared?.stop();
    this.#stopShrinking?.();
    await Promise.all([this.#snapshot?.close(), this.#written()]);
    await this.store[Symbol.asyncDispose]();
  }

  /** What was put is written, or its time is over. */
  #written(): Promise<void> {
    const { promise: tooLong, resolve } = Promise.withResolvers<void>();
    const cancel = this.#parts.clock.after(LAST_WRITES_MS, resolve);
    return Promise.race([this.#writer.idle(), tooLong]).finally(cancel);
  }

  get #layers() {
    const { answers, choices, evidence, embeddings } = this;
    return { answers, choices, evidence, embeddings };
  }

  onForget(listener: (prefixes: readonly string[]) => void): void {
    this.#forgetters.push(listener);
  }

  #forget(prefixes: readonly string[]): number {
    for (const listener of this.#forgetters) listener(prefixes);
    const layers = new Map<string | undefined, AnyLayer>(Object.entries(this.#layers));
    const counts = prefixes.map((prefix) => layers.get(kindOf(prefix))?.purge(prefix) ?? 0);
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** What is looked at in the background, for as long as there is a store that others have too. */
  #share(): Shared {
    const { store, clock, tell } = this.#parts;
    const everything = prefixesOf(undefined, undefined);
    const forget = (prefixes: readonly string[]) => this.#forget(prefixes);
    const purges = new Purges({ store, keys: this.keys, clock, everything, forget });
    const mark = new SecretMark(store, this.keys, clock, () => tell({ type: 'cache_secret_differs' }));
    const settled = () => Object.values(this.#layers).map((layer) => layer.settle());
    const cancel = clock.every(LOOK_EVERY_MS, () => void Promise.all([purges.look(), mark.look(), ...settled()]));
    const stop = () => {
      cancel();
      purges.close();
    };
    return { purges, stop };
  }

  #layer<Value>(name: LayerName, codec: Codec<Value>, part: number): CacheLayer<Value> {
    const { store, clock, memoryBytes } = this.#parts;
    const shared = store.kind === 'memory' ? undefined : { store, writer: this.#writer };
    const believedMs = name === 'evidence' ? EVIDENCE_BELIEVED_MS : undefined;
    const limit = Math.floor((memoryBytes * part) / WHOLE);
    return new CacheLayer({ name, codec, ttlMs: TTL_MS[name], limit, shared, believedMs, clock });
  }
}

interface Shared {
  readonly purges: Purges;
  readonly stop: () => void;
}

/** What does not depend on the kind of value. */
type AnyLayer = Pick<CacheLayer<never>, 'counts' | 'purge' | 'resize' | 'settle'> & {
  readonly held: Pick<CacheLayer<never>['held'], 'count' | 'bytes' | 'limit' | 'evicted'>;
};

/** @param beside a part of the layer that leads to its entries, and is none: where that is missing, so are they */
function statsOf(layer: LayerId, one: AnyLayer, beside?: AnyLayer): CacheLayerStats {
  const { hitsMemory, hitsRedis, writes } = one.counts;
  const parts = beside ? [one, beside] : [one];
  const sum = (figure: (part: AnyLayer) => number) => parts.reduce((all, part) => all + figure(part), 0);
  return {
    layer,
    hitsMemory,
    hitsRedis,
    misses: sum(({ counts }) => counts.misses),
    writes,
    entries: one.held.count,
    bytes: sum(({ held }) => held.bytes),
    bytesLimit: sum(({ held }) => held.limit),
    evicted: sum(({ held }) => held.evicted),
    tooLarge: sum(({ counts }) => counts.tooLarge),
    rejected: sum(({ counts }) => counts.rejected),
  };
}
