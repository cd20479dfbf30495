/** The door of this folder: a node in this process, and what the command line may ask without one. */
import { EMBED_TASK } from '../proto/contract/embedding.ts';
import { VERSION } from '../proto/contract/version.ts';
import type { Hardware, ServedModel } from '../proto/gen/infermesh/v1/types.ts';
import { Tier } from '../proto/gen/infermesh/v1/types.ts';
import type { Log } from '../telemetry/log.ts';
import { createLog, logNode } from '../telemetry/log.ts';
import { startTelemetry } from '../telemetry/sdk.ts';
import { workSpans } from '../telemetry/spans.ts';
import { Agent } from './agent.ts';
import type { ModelSpec } from './backends/backend.ts';
import { makesVectors } from './backends/replay-options.ts';
import { credentialsOf } from './credentials.ts';
import type { EngineState } from './engine/engine.ts';
import { createEngine } from './engine/index.ts';
import { expectedModel } from './expected-model.ts';
import { createUsageSampler, detectHardware } from './hardware.ts';
import type { ModelSettings } from './model-settings.ts';
import type { PullProgress } from './models/store.ts';
import { openModelStore } from './models/store.ts';
import { ollamaOptions, ollamaSpec } from './ollama-model.ts';
import { remoteModel, serverOf } from './remote-model.ts';
import type { NodeSettings } from './settings.ts';
import { defaultNodeId } from './settings.ts';

export type { EngineState } from './engine/engine.ts';
export { type EngineReport, engineReport } from './engine/report.ts';
export { detectHardware } from './hardware.ts';
export type { CatalogueEntry } from './models/catalogue.ts';
export { type ListedModel, type ModelStore, openModelStore, type PullProgress } from './models/store.ts';
export { type NodeSettings, nodeSchema, nodeSettings } from './settings.ts';

export interface NodeHooks {
  /** While weights are fetched or checked. */
  readonly onPull?: (progress: PullProgress) => void;
  /** Loading (with its fraction), ready, crashed. */
  readonly onState?: (state: EngineState) => void;
  readonly signal?: AbortSignal;
  readonly log?: Log;
}

export interface RunningNode {
  readonly id: string;
  readonly hardware: Hardware;
  /** The model, once it is loaded and measured. @throws Fault ENGINE_FAILED when it can't be loaded */
  readonly ready: Promise<ServedModel>;
  /** From the moment in which it was told to end, or a router asked it to. */
  readonly leaving: boolean;
  /** Resolves when it has left the routers, whoever asked for that. */
  readonly left: Promise<void>;
  /** Drains, within the limit that comes first if a router has asked for it already; resolves when everything is gone. */
  close(): Promise<void>;
}

/**
 * Fetches the model where it is missing, then dials the routers and loads it.
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
    const [hardware, spec] = await Promise.all([detectHardware(), modelSpec(first, hooks)]);
    const { slots, threads, gpuLayers, watts } = first;
    const model = asServed(spec, first);
    const server = first.engine === 'openai' ? serverOf(first) : undefined;
    const ollama = first.engine === 'ollama' ? ollamaOptions(first) : undefined;
    const tell = logNode(log);
    const warn = (message: string) => tell({ type: 'engine_warned', model: first.model, message });
    const engine = createEngine(first.engine, { model, slots, threads, gpuLayers, watts, server, ollama }, { warn });
    if (hooks.onState) engine.onState(hooks.onState);
    const agent = new Agent({
      id,
      settings,
      ...credentials,
      version: VERSION,
      hardware,
      engine,
      expected: expectedModel(model, first),
      usage: createUsageSampler(),
      observer: workSpans(),
      tell,
    });
    tell({ type: 'model_loading', model: first.model });
    const close = async () => {
      await agent.close();
      await telemetry.shutdown();
    };
    return {
      id,
      hardware,
      ready: engine.start(),
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

async function modelSpec(settings: ModelSettings, { onPull, signal }: NodeHooks): Promise<ModelSpec> {
  if (settings.engine === 'replay') return replaySpec(settings);
  if (settings.engine === 'openai') return remoteModel(settings);
  if (settings.engine === 'ollama') return ollamaSpec(settings);
  return openModelStore().pull(settings.model, { onProgress: onPull, signal });
}

/** What the operator knows better than the catalogue. */
function asServed(spec: ModelSpec, { inputPrice, outputPrice, asTier }: ModelSettings): ModelSpec {
  const { inputUsdPerMillion, outputUsdPerMillion } = spec.price;
  return {
    ...spec,
    tier: asTier ?? spec.tier,
    price: { inputUsdPerMillion: inputPrice ?? inputUsdPerMillion, outputUsdPerMillion: outputPrice ?? outputUsdPerMillion },
  };
}

/** The replay engine has no weights: its answers follow from the prompt. */
function replaySpec({ model, replay }: ModelSettings): ModelSpec {
  const path = `replay:${replay}`;
  return {
    name: model,
    path,
    digest: '',
    sizeBytes: 0,
    tier: Tier.TIER_FAST,
    tasks: makesVectors(path) ? [EMBED_TASK] : [],
    quantization: '',
    licence: '',
    contextLength: 1_048_576,
    price: { inputUsdPerMillion: 0, outputUsdPerMillion: 0 },
  };
}
