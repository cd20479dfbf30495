/** The door of this folder: a node in this process, and what the command line may ask without one. */

import { VERSION } from '../proto/contract/version.ts';
import type { Hardware, ServedModel } from '../proto/gen/infermesh/v1/types.ts';
import type { NodeEvent, Tell } from '../telemetry/events.ts';
import { residentBytes } from '../telemetry/host/memory.ts';
import type { Log } from '../telemetry/log.ts';
import { createLog, logNode } from '../telemetry/log.ts';
import { startTelemetry } from '../telemetry/sdk.ts';
import { workSpans } from '../telemetry/spans.ts';
import { Agent } from './agent.ts';
import { credentialsOf } from './credentials.ts';
import { REAL_DEPS } from './engine/child-engine.ts';
import type { EngineState } from './engine/engine.ts';
import { createUsageSampler, watchGpus } from './hardware.ts';
import type { Machine } from './machine.ts';
import { openMachine } from './machine.ts';
import type { ModelSettings } from './model-settings.ts';
import { usualSettings } from './model-settings.ts';
import { ConfiguredModels } from './model-source.ts';
import type { PullProgress } from './models/store.ts';
import { PressureWatch } from './pressure/watch.ts';
import type { NodeSettings } from './settings.ts';
import { defaultNodeId } from './settings.ts';
import { Shelf } from './shelf/shelf.ts';
import type { PreparedModel } from './shelf/source.ts';

export type { EngineState } from './engine/engine.ts';
export { type EngineReport, engineReport } from './engine/report.ts';
export { detectHardware } from './hardware.ts';
export type { CatalogueEntry } from './models/catalogue.ts';
export { type ListedModel, type ModelStore, openModelStore, type PullProgress } from './models/store.ts';
export { type NodeSettings, nodeSchema, nodeSettings } from './settings.ts';

export interface NodeHooks {
  /** While the weights of a model are fetched or checked. */
  readonly onPull?: (model: string, progress: PullProgress) => void;
  /** Loading (with its fraction), ready, crashed. */
  readonly onState?: (model: string, state: EngineState) => void;
  readonly signal?: AbortSignal;
  readonly log?: Log;
}

export interface RunningNode {
  readonly id: string;
  readonly hardware: Hardware;
  /**
   * The models that it begins with and could load, once each is loaded and measured or has failed.
   * @throws Fault ENGINE_FAILED, NO_ROOM when none can be loaded and there is none to load on demand
   */
  readonly ready: Promise<readonly ServedModel[]>;
  /** From the moment in which it was told to end, or a router asked it to. */
  readonly leaving: boolean;
  /** Resolves when it has left the routers, whoever asked for that. */
  readonly left: Promise<void>;
  /** Drains, within the limit that comes first if a router has asked for it already; resolves when everything is gone. */
  close(): Promise<void>;
}

/**
 * Fetches the models where they are missing, then dials the routers and loads those that are not left until a router asks.
 * @throws Fault INVALID_REQUEST for the token and the certificate, and what `ModelStore.pull` throws
 */
export async function startNode(settings: NodeSettings, hooks: NodeHooks = {}): Promise<RunningNode> {
  const log = hooks.log ?? createLog({ name: 'node', level: settings.logLevel });
  const [first] = settings.models as [ModelSettings];
  const id = settings.id ?? defaultNodeId(first.model);
  const credentials = credentialsOf(id, settings);
  const telemetry = await startTelemetry({
    serviceName: 'infermesh-node',
    serviceInstanceId: id,
    warn: (message) => log.warn({ event: 'telemetry' }, message),
  });
  try {
    const tell = logNode(log);
    const machine = await openMachine(settings);
    const { hardware } = machine;
    const shelf = await stock(settings, machine, tell, hooks);
    const gpus = watchGpus(hardware.gpus);
    const pressure = new PressureWatch({ ...machine, gpus, shelf, drainMs: settings.drainMs, tell });
    const agent = new Agent({
      id,
      settings,
      ...credentials,
      version: VERSION,
      hardware,
      shelf,
      usage: createUsageSampler(),
      gpus,
      pressure,
      observer: workSpans(),
      tell,
    });
    const close = async () => {
      await agent.close();
      pressure.stop();
      gpus.stop();
      await telemetry.shutdown();
    };
    return {
      id,
      hardware,
      ready: loaded(shelf, settings),
      get leaving() {
        return agent.leaving;
      },
      left: agent.left,
      close,
    };
  } catch (thrown) {
    await telemetry.shutdown();
    throw thrown;
  }
}

/** The shelf with all models of the settings, of which none is in memory yet. */
async function stock(settings: NodeSettings, machine: Machine, tell: Tell<NodeEvent>, hooks: NodeHooks): Promise<Shelf> {
  const { budgetBytes, freeBytes } = machine;
  const warn = (model: string, message: string) => tell({ type: 'engine_warned', model, message });
  const source = new ConfiguredModels({ usual: usualSettings(settings), budgetBytes, warn });
  const { onPull, onState: onEngine, signal } = hooks;
  const models: PreparedModel[] = [];
  for (const entry of settings.models) {
    const onProgress = (progress: PullProgress) => onPull?.(entry.model, progress);
    models.push(await source.configure(entry, { signal, onProgress }));
  }
  const shelf = new Shelf({ source, budgetBytes, freeBytes, measure: residentBytes, clock: REAL_DEPS, tell, onEngine });
  for (const model of models) shelf.announce(model);
  return shelf;
}

async function loaded(shelf: Shelf, { models }: NodeSettings): Promise<readonly ServedModel[]> {
  const atStart = shelf.models.filter((_, at) => !models[at]?.onDemand);
  const loads = await Promise.allSettled(atStart.map(({ name }) => shelf.load(name, { atStart: true })));
  const served = atStart.filter((_, at) => loads[at]?.status === 'fulfilled').map((place) => place.served);
  const [failed] = loads.filter((load) => load.status === 'rejected');
  if (failed && served.length === 0 && atStart.length === models.length) throw failed.reason;
  return served;
}
