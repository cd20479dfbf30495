/** What a node has in memory and may have there, as the rest of the node sees it. Types only. */
import type { ModelStage } from '../../proto/gen/infermesh/v1/link.ts';
import type { ModelState, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';

/** One model of the node, in memory or not. */
export interface KeptModel {
  readonly name: string;
  /** As the engine measured it; before its first load what is expected of it. */
  readonly served: ServedModel;
  readonly state: ModelState;
  /** Assignments and embeds at work on it, those included that finish on an engine which is on its way out. */
  readonly running: number;
  /** When work last began or ended on it, or its engine became ready: milliseconds of the shelf's clock. */
  readonly lastUsedAt: number;
  /** Memory of this machine that it takes; of a model that is not there, what it would need. 0: none, or not known. */
  readonly memoryBytes: number;
  /** Its engine is a server outside of the node: it takes none of our memory, and unloading it frees none. */
  readonly remote: boolean;
}

/** How far a command has come; the fraction is of the stage, 0 to 1. */
export interface ModelStep {
  readonly stage: ModelStage;
  readonly fraction: number;
}
export type OnStep = (step: ModelStep) => void;

export interface LoadWish {
  /** Absent: as the node was started. */
  readonly slots?: number | undefined;
  /** Fetches the weights where they are missing. */
  readonly pull?: boolean | undefined;
  /** Requests wait for it, and no operator asked: refused under memory pressure, and rather than that a model in use goes. */
  readonly onDemand?: boolean;
  /** The node begins with it: nothing else leaves memory for it. */
  readonly atStart?: boolean;
}

export interface SwapWish {
  readonly pull?: boolean | undefined;
  /** How long what runs on the old one may go on; what is left then is handed back. */
  readonly limitMs: number;
}

export interface ShelfView {
  /** All of them, in the order in which the node came to know them. */
  readonly models: readonly KeptModel[];
  /** Called after each change of a state, a model or its memory; not of what runs. Returns the unsubscribe. */
  onChange(listener: () => void): () => void;
}

/**
 * Changes what is in memory. Commands about one model are worked off one after the other, each promise tells the end, and
 * a rejection is a Fault. Names are those of the catalogue, with @ and the first 8 to 64 hex digits of a digest for one
 * version where something is loaded.
 */
export interface ModelShelf extends ShelfView {
  /**
   * Done at once where the model is in memory.
   * @throws Fault MODEL_NOT_FOUND, MODEL_UNAVAILABLE, NO_ROOM, ENGINE_FAILED, DRAINING
   */
  load(model: string, wish: LoadWish, onStep?: OnStep): Promise<void>;
  /** Done at once where it is not in memory. @throws Fault MODEL_NOT_FOUND, DRAINING */
  unload(model: string, limitMs: number, onStep?: OnStep): Promise<void>;
  /** Where it fails, `from` goes on untouched. @throws Fault as load does, INVALID_REQUEST where `from` is not in memory */
  swap(from: string, to: string, wish: SwapWish, onStep?: OnStep): Promise<void>;
  /** Under memory pressure, with the reason: loads on demand are refused until it is called with undefined. */
  hold(why: string | undefined): void;
  /** Ends everything, and every command that waits with DRAINING; resolves when the engines are gone. */
  dispose(): Promise<void>;
}
