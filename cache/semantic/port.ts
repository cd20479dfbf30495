/** Where vectors of prompts lie, and what is near one. Types only. */

/** Prompts that may be compared at all: of one tenant, one scope and one embedding model. */
export interface Partition {
  /** Tells nothing; begins with the tenant's prefix. */
  readonly name: string;
  readonly dimensions: number;
}

export interface IndexEntry {
  /** Of the prompt within its partition; tells nothing. 1 to 64 letters, digits, - and _. */
  readonly id: string;
  /** Of length 1. */
  readonly vector: Float32Array;
  /** Opaque, and sealed by its owner. */
  readonly sealed: Buffer;
  readonly ttlMs: number;
}

export interface Neighbour {
  readonly id: string;
  readonly sealed: Buffer;
}

export type IndexKind = 'memory' | 'usearch' | 'vector-set' | 'search';

/**
 * Nothing here rejects or waits for long: what can't be searched has no neighbours, what can't be added is lost. What it
 * returns is a proposal, the nearest first: who asks judges by what is sealed.
 */
export interface SemanticIndex extends AsyncDisposable {
  readonly kind: IndexKind;
  /** One with the same id is replaced. */
  add(partition: Partition, entry: IndexEntry): Promise<void>;
  /** @param count at most so many */
  nearest(partition: Partition, vector: Float32Array, count: number): Promise<readonly Neighbour[]>;
  remove(partition: Partition, id: string): Promise<void>;
  /** Entries, as far as this router knows. */
  size(): Promise<number>;
  /** Everything whose partition begins so, as far as it is in this process; Redis is purged by the store. @returns how many */
  purge(prefix: string): number;
}
