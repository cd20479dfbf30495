/** Boosted regression trees on dense features, evaluated. Pure. */

/** Complete binary trees: node i has the children 2i + 1 and 2i + 2. */
export interface Forest {
  readonly depth: number;
  readonly trees: number;
  /** Per inner node the feature it looks at; 2 ** depth - 1 a tree. */
  readonly feature: Uint16Array;
  /** Goes to the second child where the value is above. */
  readonly threshold: Float32Array;
  /** What a tree adds; 2 ** depth a tree. */
  readonly leaf: Float32Array;
  readonly base: number;
}

/** @param offset where the row's features start in `values` */
export function evaluate(forest: Forest, values: Float32Array, offset = 0): number {
  const { depth, trees, feature, threshold, leaf } = forest;
  const inner = 2 ** depth - 1;
  let sum = forest.base;
  for (let tree = 0; tree < trees; tree++) {
    const start = tree * inner;
    let at = 0;
    for (let level = 0; level < depth; level++) {
      const value = values[offset + (feature[start + at] as number)] as number;
      at = 2 * at + 1 + Number(value > (threshold[start + at] as number));
    }
    sum += leaf[tree * (inner + 1) + at - inner] as number;
  }
  return sum;
}
