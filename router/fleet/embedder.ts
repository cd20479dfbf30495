/** What the router can have vectors of texts made by. Types only; fleet-embedder.ts is how. */

/** Vectors of two models say nothing of each other; models are the same only where all of this is. */
export interface EmbeddingModel {
  readonly name: string;
  /** Of the weights, as sha256:HEX; empty where the node told none. */
  readonly digest: string;
  readonly dimensions: number;
}

export interface EmbedOptions {
  /** From now, in milliseconds; over it the promise rejects with DEADLINE_EXCEEDED. */
  readonly deadlineMs: number;
  /** W3C trace context; empty when nothing traces. */
  readonly traceparent: string;
  /** Aborted when nobody waits for them any more; the promise then rejects with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
}

export interface Embeddings {
  /** Who made them. */
  readonly model: EmbeddingModel;
  /** As many as texts, in their order, each of `dimensions` finite numbers and of length 1. */
  readonly vectors: readonly Float32Array[];
}

export interface Embedder {
  /**
   * The one that texts go to now; undefined while no node has one. It stays the same as long as a node with it is
   * attached, also while that node loads or recovers.
   */
  readonly model: EmbeddingModel | undefined;
  /**
   * @param texts 1 to 64; each is cut where the model's context ends
   * @throws Fault NO_NODE, NODE_LOST, QUEUE_FULL, DEADLINE_EXCEEDED, CANCELLED, DRAINING, or as the node failed
   */
  embed(texts: readonly string[], options: EmbedOptions): Promise<Embeddings>;
}
