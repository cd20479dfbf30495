/** The one place that knows usearch: a graph of vectors that finds near ones without looking at all of them. */

export interface Graph {
  add(key: bigint, vector: Float32Array): void;
  remove(key: bigint): void;
  /** The nearest first. */
  search(vector: Float32Array, count: number): readonly bigint[];
}

export type MakeGraph = (dimensions: number) => Graph;

/** @returns undefined where the library is not there for this machine */
export async function loadUsearch(): Promise<MakeGraph | undefined> {
  try {
    const { Index, MetricKind, ScalarKind } = await import('usearch');
    return (dimensions) => {
      // 8 bits a number are enough to propose by; what is proposed is judged by the sealed vectors.
      const index = new Index({
        metric: MetricKind.IP,
        quantization: ScalarKind.I8,
        dimensions,
        connectivity: 16,
        expansion_add: 128,
        expansion_search: 64,
        multi: false,
      });
      return {
        add: (key, vector) => index.add(key, vector),
        remove: (key) => void index.remove(key),
        search: (vector, count) => [...index.search(vector, count, 1).keys],
      };
    };
  } catch {
    return undefined;
  }
}
