/** The models that a node begins with: fetched where they are missing, announced, and loaded as its settings say. */
import type { Fault, Reason } from '../proto/contract/faults.ts';
import { toFault } from '../proto/contract/faults.ts';
import type { ServedModel } from '../proto/gen/infermesh/v1/types.ts';
import type { NodeEvent, Tell } from '../telemetry/events.ts';
import { residentBytes } from '../telemetry/host/memory.ts';
import { REAL_DEPS } from './engine/child-engine.ts';
import type { EngineState } from './engine/engine.ts';
import type { Machine } from './machine.ts';
import type { ModelSettings } from './model-settings.ts';
import { usualSettings } from './model-settings.ts';
import { ConfiguredModels } from './model-source.ts';
import type { PullProgress } from './models/store.ts';
import type { NodeSettings } from './settings.ts';
import { Shelf } from './shelf/shelf.ts';
import type { PreparedModel } from './shelf/source.ts';

/** What befalls a model's weights. The node goes on with its others; what is wrong in its settings ends it. */
const OF_ONE_MODEL: ReadonlySet<Reason> = new Set(['MODEL_UNAVAILABLE', 'UNREACHABLE']);

export interface StockHooks {
  /** While the weights of a model are fetched or checked. */
  readonly onPull?: (model: string, progress: PullProgress) => void;
  /** Loading (with its fraction), ready, crashed. */
  readonly onState?: (model: string, state: EngineState) => void;
  readonly signal?: AbortSignal;
}

export interface Stock {
  readonly shelf: Shelf;
  /**
   * Loads those that are not left until a router asks for them.
   * @returns the ones that were loaded, once all have been or have failed
   * @throws Fault ENGINE_FAILED, NO_ROOM when none could be loaded and there is none to load on demand
   */
  load(): Promise<readonly ServedModel[]>;
}

/** @throws Fault what `ModelStore.pull` throws, where no other model is left or the settings are wrong */
export async function stock(
  settings: NodeSettings,
  { budgetBytes, freeBytes }: Machine,
  tell: Tell<NodeEvent>,
  { onPull, onState: onEngine, signal }: StockHooks,
): Promise<Stock> {
  const warn = (model: string, message: string) => tell({ type: 'engine_warned', model, message });
  const source = new ConfiguredModels({ usual: usualSettings(settings), budgetBytes, warn });
  const shelf = new Shelf({ source, budgetBytes, freeBytes, measure: residentBytes, clock: REAL_DEPS, tell, onEngine });
  const configure = (entry: ModelSettings) => {
    const onProgress = (progress: PullProgress) => onPull?.(entry.model, progress);
    return source.configure(entry, { signal, onProgress });
  };
  const atStart = await announceAll(shelf, settings.models, configure, tell);
  return { shelf, load: () => loadAll(shelf, atStart) };
}

/** @returns the names of those to load at the start */
async function announceAll(
  shelf: Shelf,
  entries: readonly ModelSettings[],
  configure: (entry: ModelSettings) => Promise<PreparedModel>,
  tell: Tell<NodeEvent>,
): Promise<readonly string[]> {
  const atStart: string[] = [];
  let failed: Fault | undefined;
  for (const entry of entries) {
    try {
      const model = await configure(entry);
      shelf.announce(model);
      if (!entry.onDemand) atStart.push(model.served.name);
    } catch (thrown) {
      failed = toFault(thrown);
      if (!OF_ONE_MODEL.has(failed.reason)) throw failed;
      if (entries.length > 1)
        tell({ type: 'model_load_failed', model: entry.model, reason: failed.reason, message: failed.message });
    }
  }
  if (failed && shelf.models.length === 0) throw failed;
  return atStart;
}

async function loadAll(shelf: Shelf, names: readonly string[]): Promise<readonly ServedModel[]> {
  const onDemand = shelf.models.length > names.length;
  const loads = await Promise.allSettled(names.map((name) => shelf.load(name, { atStart: true })));
  const [failed] = loads.filter((load) => load.status === 'rejected');
  if (failed && !onDemand && loads.every(({ status }) => status === 'rejected')) throw failed.reason;
  shelf.started();
  return names.filter((_, at) => loads[at]?.status === 'fulfilled').flatMap((name) => shelf.place(name)?.served ?? []);
}
