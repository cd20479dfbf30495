/** Vectors of texts, from the cache where they have been made before. */
import type { Cache, Key } from '../cache/port.ts';
import { MOST_EMBED_TEXTS } from '../proto/contract/embedding.ts';
import { Fault } from '../proto/contract/faults.ts';
import type { Embedder, EmbeddingModel, EmbedOptions } from './fleet/embedder.ts';
import type { EmbeddingDemand, VectorsDemand } from './fleet/embedding-demand.ts';

export interface VectorsParts {
  readonly cache: Pick<Cache, 'keys' | 'embeddings'>;
  readonly embedder: Embedder;
  readonly demand: Pick<EmbeddingDemand, 'ready'>;
}

export interface VectorsWish extends EmbedOptions {
  readonly tenant: string | undefined;
  /** All are made anew. */
  readonly refresh?: boolean;
}

export interface Made {
  readonly model: EmbeddingModel;
  /** As many as texts, in their order, each of length 1. */
  readonly vectors: readonly Float32Array[];
  /** Of them, those that came from the cache. */
  readonly cached: number;
}

export class Vectors {
  readonly #parts: VectorsParts;

  constructor(parts: VectorsParts) {
    this.#parts = parts;
  }

  /** The one in use; undefined while no node makes vectors. */
  get model(): EmbeddingModel | undefined {
    return this.#parts.embedder.model;
  }

  /**
   * Waits for a load where no node has the model in memory.
   * @returns what is left of the deadline, in milliseconds
   * @throws Fault DEADLINE_EXCEEDED or CANCELLED
   */
  ready(wish: VectorsDemand): Promise<number> {
    // Vectors of another model say nothing of those that were made before.
    return this.#parts.demand.ready({ ...wish, model: wish.model || this.model?.name || '' });
  }

  /** @throws Fault NO_NODE, NODE_LOST, DEADLINE_EXCEEDED, CANCELLED, or as the node failed */
  async of(texts: readonly string[], { tenant, refresh = false, ...options }: VectorsWish): Promise<Made> {
    const { cache } = this.#parts;
    const { model } = this;
    if (!model) throw new Fault('NO_NODE', 'no node makes vectors of texts now');
    const keys = new Map([...new Set(texts)].map((text) => [text, keyOf(cache, tenant, model, text)]));
    const keyOfEach = texts.map((text) => keys.get(text) as Key);
    const known = refresh ? [] : (await cache.embeddings.findAll(keyOfEach)).map((hit) => hit?.value);
    // Equal texts are made once.
    const missing = [...new Set(texts.filter((_, i) => !known[i]))];
    const made = new Map<string, Float32Array>();
    for (let at = 0; at < missing.length; at += MOST_EMBED_TEXTS) {
      const some = missing.slice(at, at + MOST_EMBED_TEXTS);
      const vectors = await this.#embed(some, model, options);
      for (const [i, text] of some.entries()) made.set(text, vectors[i] as Float32Array);
    }
    for (const [text, vector] of made) cache.embeddings.put(keys.get(text) as Key, vector);
    const vectors = texts.map((text, i) => known[i] ?? (made.get(text) as Float32Array));
    return { model, vectors, cached: known.filter((vector) => vector !== undefined).length };
  }

  async #embed(texts: readonly string[], model: EmbeddingModel, options: EmbedOptions): Promise<readonly Float32Array[]> {
    const { model: by, vectors } = await this.#parts.embedder.embed(texts, options);
    // Nodes may have come and gone meanwhile, and vectors of two models say nothing of each other.
    if (isSame(by, model)) return vectors;
    throw new Fault('NO_NODE', 'the nodes with the embedding model have left');
  }
}

function keyOf({ keys }: Pick<Cache, 'keys'>, tenant: string | undefined, { name, digest }: EmbeddingModel, text: string): Key {
  return keys.of(tenant).key('embeddings', Buffer.from(JSON.stringify([name, digest, text])));
}

function isSame(a: EmbeddingModel, b: EmbeddingModel): boolean {
  return a.name === b.name && a.digest === b.digest && a.dimensions === b.dimensions;
}
