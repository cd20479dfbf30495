/** The door of this folder: a node in this process, and what the command line may ask without one. */
import { VERSION } from '../proto/contract/version.ts';
import type { Hardware, ServedModel } from '../proto/gen/infermesh/v1/types.ts';
import type { Log } from '../telemetry/log.ts';
import { createLog, logNode } from '../telemetry/log.ts';
import { startTelemetry } from '../telemetry/sdk.ts';
import { workSpans } from '../telemetry/spans.ts';
import { Agent } from './agent.ts';
import { credentialsOf } from './credentials.ts';
import { createUsageSampler, watchGpus } from './hardware.ts';
import { openMachine } from './machine.ts';
import type { ModelSettings } from './model-settings.ts';
import { PressureWatch } from './pressure/watch.ts';
import type { NodeSettings } from './settings.ts';
import { defaultNodeId } from './settings.ts';
import type { StockHooks } from './stock.ts';
import { stock } from './stock.ts';

export type { EngineState } from './engine/engine.ts';
export { type EngineReport, engineReport } from './engine/report.ts';
export { detectHardware } from './hardware.ts';
export type { CatalogueEntry } from './models/catalogue.ts';
export { type ListedModel, type ModelStore, openModelStore, type PullProgress } from './models/store.ts';
export { type NodeSettings, nodeSchema, nodeSettings } from './settings.ts';

export interface NodeHooks extends StockHooks {
  readonly log?: Log;
}

export interface RunningNode {
  readonly id: string;
  readonly hardware: Hardware;
  /** The models that it began with, once each is loaded and measured or has failed. @throws Fault as `Stock.load` */
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
 * @throws Fault INVALID_REQUEST for the token and the certificate, and what `stock` throws
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
    const { shelf, load } = await stock(settings, machine, tell, hooks);
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
    const ready = load();
    // Who does not ask for it must not get an unhandled rejection.
    ready.catch(() => {});
    return {
      id,
      hardware,
      ready,
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
