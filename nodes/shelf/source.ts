/** Where a shelf's models come from. Types only. */
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Engine } from '../engine/engine.ts';

export interface PrepareWish {
  readonly slots?: number | undefined;
  readonly pull: boolean;
  readonly signal: AbortSignal;
  /** 0 to 1 of what is fetched or checked. */
  readonly onProgress: (fraction: number) => void;
}

/** A model that can be brought into memory now: its weights, if it has any, are here. */
export interface PreparedModel {
  /** What is expected of it. */
  readonly served: ServedModel;
  /** Memory of this machine that it will take. */
  readonly needBytes: number;
  /** Its engine is a server outside of the node. */
  readonly remote: boolean;
  /** Not started yet. */
  makeEngine(): Engine;
}

export interface ModelSource {
  /**
   * @param model a name, or NAME@DIGEST
   * @throws Fault MODEL_NOT_FOUND, MODEL_UNAVAILABLE where the weights are not here or damaged, and what a pull may throw
   */
  prepare(model: string, wish: PrepareWish): Promise<PreparedModel>;
}
