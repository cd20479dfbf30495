/** Who leaves memory so that a model has room. Pure. */

/** A model that takes memory and has nothing to do. */
export interface Idle {
  readonly name: string;
  readonly memoryBytes: number;
  readonly lastUsedAt: number;
}

/**
 * @param missingBytes what there is too little of
 * @returns those that were used least lately, and no more than needed; undefined where all of them would not do
 */
export function whoLeaves<Model extends Idle>(missingBytes: number, idle: readonly Model[]): readonly Model[] | undefined {
  const leaving: Model[] = [];
  let missing = missingBytes;
  for (const model of idle.toSorted((one, other) => one.lastUsedAt - other.lastUsedAt)) {
    if (missing <= 0) break;
    leaving.push(model);
    missing -= model.memoryBytes;
  }
  if (missing > 0) return undefined;
  // A large one that came late may have made small ones before it needless; those used last are kept first.
  for (const model of leaving.toReversed()) {
    if (missing + model.memoryBytes > 0) continue;
    leaving.splice(leaving.indexOf(model), 1);
    missing += model.memoryBytes;
  }
  return leaving;
}
