/**
 * The vectors of one partition in this process. A few are compared one by one; from GRAPH_FROM on a graph is grown beside
 * them, some at a time so that no add takes long, and searched once it has them all.
 */

import type { Graph, MakeGraph } from './usearch.ts';
import { dot } from './vectors.ts';

/** From here on a search saves more than an add to the graph costs; README.md has the figures. */
export const GRAPH_FROM = 256;
/** Joined to the graph with each add; 0.1 to 0.3 ms for one. */
const GROWTH = 4;

export class Shelf {
  readonly #makeGraph: MakeGraph | undefined;
  readonly #dimensions: number;
  readonly #vectors = new Map<string, { readonly key: bigint; readonly vector: Float32Array }>();
  readonly #ids = new Map<bigint, string>();
  #graph: Graph | undefined;
  /** Not in the graph yet, in the order in which they came. */
  readonly #outside = new Map<bigint, Float32Array>();
  #lastKey = 0n;

  constructor(dimensions: number, makeGraph: MakeGraph | undefined) {
    this.#dimensions = dimensions;
    this.#makeGraph = makeGraph;
  }

  get size(): number {
    return this.#vectors.size;
  }

  /** Whether a search goes by the graph. */
  get isGraphed(): boolean {
    return this.#graph !== undefined && this.#outside.size === 0;
  }

  add(id: string, vector: Float32Array): void {
    this.remove(id);
    const key = ++this.#lastKey;
    this.#vectors.set(id, { key, vector });
    this.#ids.set(key, id);
    this.#outside.set(key, vector);
    if (this.#makeGraph && this.#vectors.size >= GRAPH_FROM) this.#graph ??= this.#makeGraph(this.#dimensions);
    if (this.#graph) this.#grow(this.#graph);
  }

  #grow(graph: Graph): void {
    let left = GROWTH;
    for (const [key, vector] of this.#outside) {
      if (left-- === 0) return;
      graph.add(key, vector);
      this.#outside.delete(key);
    }
  }

  remove(id: string): void {
    const known = this.#vectors.get(id);
    if (!known) return;
    this.#vectors.delete(id);
    this.#ids.delete(known.key);
    if (!this.#outside.delete(known.key)) this.#graph?.remove(known.key);
  }

  /** The nearest first. */
  nearest(vector: Float32Array, count: number): readonly string[] {
    if (this.#graph && this.isGraphed) {
      return this.#graph.search(vector, count).flatMap((key) => this.#ids.get(key) ?? []);
    }
    const best: { readonly id: string; readonly similarity: number }[] = [];
    for (const [id, { vector: other }] of this.#vectors) {
      const similarity = dot(vector, other);
      if (best.length === count && similarity <= (best.at(-1)?.similarity ?? 0)) continue;
      const place = best.findIndex((one) => one.similarity < similarity);
      best.splice(place < 0 ? best.length : place, 0, { id, similarity });
      if (best.length > count) best.pop();
    }
    return best.map(({ id }) => id);
  }
}
