/** Where a node's models come from: its settings, and for a name that these do not have the catalogue. */
import { EMBED_TASK } from '../proto/contract/embedding.ts';
import { Fault } from '../proto/contract/faults.ts';
import { Tier } from '../proto/gen/infermesh/v1/types.ts';
import type { LoadOptions, ModelSpec } from './backends/backend.ts';
import { readAdapter, withAdapters } from './backends/llama-cpp/lora.ts';
import { makesVectors } from './backends/replay-options.ts';
import type { BackendName } from './engine/index.ts';
import { createEngine } from './engine/index.ts';
import { expectedModel } from './expected-model.ts';
import type { ModelSettings } from './model-settings.ts';
import { contextWithin, needsBytes } from './models/memory.ts';
import type { PullProgress } from './models/store.ts';
import { openModelStore } from './models/store.ts';
import { ollamaOptions, ollamaSpec } from './ollama-model.ts';
import { remoteModel, serverOf } from './remote-model.ts';
import { nameIn } from './shelf/faults.ts';
import type { ModelSource, PreparedModel, PrepareWish } from './shelf/source.ts';

/** Tokens of context that a slot has also where that takes more than half of the budget. */
const USUAL_CONTEXT = 8192;
const LEAST_CONTEXT = 256;
const NO_PRICE = { inputUsdPerMillion: 0, outputUsdPerMillion: 0 };

export interface SourceParts {
  /** Of a model that no settings name. */
  readonly usual: ModelSettings;
  readonly budgetBytes: number;
  /** What the operator should know of an engine; never the user's text. */
  readonly warn: (model: string, message: string) => void;
}

interface Weights {
  readonly pull: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
}

export class ConfiguredModels implements ModelSource {
  readonly #parts: SourceParts;
  readonly #settings = new Map<string, ModelSettings>();

  constructor(parts: SourceParts) {
    this.#parts = parts;
  }

  /**
   * The model of an entry, whose weights are fetched where they are missing; from now on it has the settings of its entry.
   * @throws Fault as `ModelStore.pull`, and INVALID_REQUEST where another entry has the same model
   */
  async configure(settings: ModelSettings, weights: Omit<Weights, 'pull'>): Promise<PreparedModel> {
    const { model } = settings;
    // Also where its weights cannot be had: they may come later.
    if (!model.startsWith('file:')) this.#settings.set(model, settings);
    const spec = await specOf(settings, model, { ...weights, pull: true });
    const twin = this.#settings.get(spec.name) ?? settings;
    if (twin !== settings) throw new Fault('INVALID_REQUEST', `${twin.model} and ${model} are both called ${spec.name}`);
    this.#settings.set(spec.name, settings);
    return this.#prepared(spec, settings);
  }

  async prepare(model: string, { slots, pull, signal, onProgress }: PrepareWish): Promise<PreparedModel> {
    const name = nameIn(model);
    const settings = this.#settings.get(name) ?? { ...this.#parts.usual, model: name };
    const weights: Weights = { pull, signal, onProgress: (progress) => onProgress(fractionOf(progress)) };
    const spec = await specOf(settings, name === model ? settings.model : model, weights);
    return this.#prepared(spec, { ...settings, slots: slots ?? settings.slots });
  }

  async #prepared(found: ModelSpec, given: ModelSettings): Promise<PreparedModel> {
    const settings = { ...given, engine: engineFor(found, given) };
    const { engine, slots, threads, gpuLayers, watts } = settings;
    const adapters = settings.lora.flatMap((text) => readAdapter(text) ?? []);
    const model = await this.#withContext(await withAdapters(asServed(found, settings), adapters), settings);
    const server = engine === 'openai' ? serverOf(settings) : undefined;
    const ollama = engine === 'ollama' ? ollamaOptions(settings) : undefined;
    const options: LoadOptions = { model, slots, threads, gpuLayers, watts, server, ollama, adapters };
    const warn = (message: string) => this.#parts.warn(model.name, message);
    return {
      served: expectedModel(model, { engine, slots, watts, server }),
      needBytes: await needsBytes(model, { slots }),
      remote: server !== undefined || ollama !== undefined,
      makeEngine: () => createEngine(engine, options, { warn }),
    };
  }

  /** A long context takes more memory than the weights do; unless it is told otherwise, a model leaves half of the budget. */
  async #withContext(model: ModelSpec, { engine, slots, context }: ModelSettings): Promise<ModelSpec> {
    if (engine !== 'llama-cpp') return model;
    if (context !== undefined) return { ...model, contextLength: Math.min(context, model.contextLength) };
    const within = (bytes: number) => contextWithin(model, slots, bytes);
    const { budgetBytes } = this.#parts;
    const tokens = contextFor(await within(budgetBytes / 2), await within(budgetBytes));
    return { ...model, contextLength: Math.min(model.contextLength, tokens) };
  }
}

/** Tokens for each slot, of those that half of the budget has room for and those that all of it has. */
export function contextFor(ofHalf: number, ofAll: number): number {
  return Math.max(LEAST_CONTEXT, ofHalf, Math.min(USUAL_CONTEXT, ofAll));
}

/** @param model what the store is asked for: a name, one version of it, or a file */
async function specOf(settings: ModelSettings, model: string, { pull, ...options }: Weights): Promise<ModelSpec> {
  const elsewhere = { replay: replaySpec, openai: remoteModel, ollama: ollamaSpec };
  const { engine } = settings;
  if (engine in elsewhere) {
    if (model.includes('@')) throw new Fault('INVALID_REQUEST', `model: the ${engine} engine knows no versions of a model`);
    return elsewhere[engine as keyof typeof elsewhere](settings);
  }
  const store = openModelStore();
  const spec = pull ? await store.pull(model, options) : await store.locate(model, options);
  if (spec) return spec;
  const how = `fetch them with: infermesh models pull ${model}`;
  throw new Fault('MODEL_UNAVAILABLE', `the weights of ${model} are not on this node; ${how}`, { facts: { model } });
}

/** The engine that nobody chose reads GGUF; weights in ONNX choose for themselves. */
function engineFor({ path }: ModelSpec, { engine, lora }: ModelSettings): BackendName {
  return engine === 'llama-cpp' && lora.length === 0 && path.endsWith('.onnx') ? 'onnx' : engine;
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
    price: NO_PRICE,
  };
}

function fractionOf({ downloadedBytes, totalBytes }: PullProgress): number {
  return totalBytes > 0 ? downloadedBytes / totalBytes : 0;
}
