/**
 * What the rest of the mesh sees of the cache. Types only.
 *
 *   Cache ----- Layer (answers, evidence, embeddings) ----- memory of this process, then a Store shared by all routers
 *
 * Nothing here ever throws, rejects, or waits for long: what can't be read is not there, what can't be written is lost.
 */
import type { GetCacheStatsResponse, PurgeCacheRequest, PurgeCacheResponse } from '../proto/gen/infermesh/v1/admin.ts';
import type { CachedAnswer, CachedModel, Evidence } from '../proto/gen/infermesh/v1/cache.ts';

/** What lies under a name; undefined: nothing. 'unknown': nobody could say. */
export type Stored = Buffer | 'unknown' | undefined;

/** Where sealed values lie, by names that tell nothing. No method rejects; each ends within the store's time limit. */
export interface Store extends AsyncDisposable {
  readonly kind: 'memory' | 'redis';
  get(name: string): Promise<Stored>;
  /** As many as names, in their order. */
  getAll(names: readonly string[]): Promise<Stored[]>;
  /** @returns whether it is there now */
  set(name: string, value: Buffer, ttlMs: number): Promise<boolean>;
  /** @returns how many there were; 'unknown': nobody could say, nor whether they are gone */
  delete(names: readonly string[]): Promise<number | 'unknown'>;
  /**
   * Takes a name for its owner, for so long, unless another has it. All take one name for the same time.
   * @returns 'taken' also for who has it already; 'unknown' when nobody could say
   */
  take(name: string, owner: string, ttlMs: number): Promise<'taken' | 'busy' | 'unknown'>;
  /** Gives up what its owner took; what another has stays. */
  giveUp(name: string, owner: string): Promise<void>;
  /** Deletes everything whose name begins so. @returns how many */
  purge(prefix: string): Promise<number>;
}

/**
 * A connection to Redis, and the only way to it. Calls go through one circuit: while Redis does not answer in time,
 * nothing is asked of it.
 */
export interface RedisLink extends AsyncDisposable {
  readonly kind: 'standalone' | 'sentinel' | 'cluster';
  readonly isUp: boolean;
  /** Never rejects, and ends within the time limit. @returns undefined when Redis did not answer, or was not asked */
  ask<Answer>(commands: (redis: RedisCommands) => Promise<Answer>): Promise<Answer | undefined>;
  /** Told after each time that Redis has come up, the first one included. @returns the unsubscribe */
  onUp(listener: () => void): () => void;
}

/** What of Redis the cache uses; ioredis has more. Names and values are binary. */
export interface RedisCommands {
  call(command: string, ...args: readonly (string | number | Buffer)[]): Promise<unknown>;
}

export type LayerName = 'answers' | 'evidence' | 'embeddings';

/** The name of one value, and what seals it; made by the keyring from a tenant's secret, so that it tells nothing. */
export interface Key {
  readonly name: string;
  /** Sealed for this name and tenant; nobody else can read or make it. */
  seal(value: Uint8Array): Buffer;
  /** Undefined: not sealed for this name and tenant, or damaged. */
  open(sealed: Buffer): Buffer | undefined;
}

export interface Hit<Value> {
  readonly value: Value;
  readonly from: 'memory' | 'redis';
}

/** One kind of value, with a lifetime and a bound of its own. */
export interface Layer<Value> {
  readonly name: LayerName;
  /** In the memory of this process; at once. */
  peek(key: Key): Hit<Value> | undefined;
  /** In memory, then in the store. */
  find(key: Key): Promise<Hit<Value> | undefined>;
  /** As many as keys, in their order. */
  findAll(keys: readonly Key[]): Promise<(Hit<Value> | undefined)[]>;
  /** Readable here at once, elsewhere soon. @param ttlMs absent: the layer's own */
  put(key: Key, value: Value, ttlMs?: number): void;
  /** @returns whether there was one, as far as is known */
  delete(key: Key): Promise<boolean>;
}

/** Everything a tenant's values are named and sealed by; it follows from the secret of the mesh and the tenant's name. */
export interface TenantKeys {
  /** @param content what tells this value from every other of its kind; never written anywhere */
  key(kind: KeyKind, content: Uint8Array): Key;
}

/**
 * Layers, and what else has names in the store: the model that was chosen for a request, who is answering it, and prompts
 * that may mean the same.
 */
export type KeyKind = LayerName | 'choices' | 'leases' | 'semantic';

export interface Keyring {
  /** @param tenant undefined: the one without a name */
  of(tenant: string | undefined): TenantKeys;
}

/** Evidence, and when it was put. */
export interface StoredEvidence {
  readonly evidence: Evidence;
  /** Milliseconds since 1970. */
  readonly putAtMs: number;
}

export interface Cache extends AsyncDisposable {
  readonly keys: Keyring;
  readonly answers: Layer<CachedAnswer>;
  /** Which model was chosen for a request that left it to the router. A part of the answers, with their lifetime. */
  readonly choices: Layer<CachedModel>;
  readonly evidence: Layer<StoredEvidence>;
  readonly embeddings: Layer<Float32Array>;
  /** Shared by all routers, or of this process alone; for leases. */
  readonly store: Store;
  stats(): Pick<GetCacheStatsResponse, 'layers' | 'redis'>;
  purge(request: PurgeCacheRequest): Promise<PurgeCacheResponse>;
  /** Told whatever is purged, here or by another router, as what its names begin with. */
  onForget(listener: (prefixes: readonly string[]) => void): void;
}
