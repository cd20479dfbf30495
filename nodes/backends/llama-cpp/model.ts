/** Brings a model into memory and tells what it is. */
import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import type { ChatWrapper, Llama, LlamaContext, LlamaContextSequence, LlamaModel } from 'node-llama-cpp';
import { Fault } from '../../../proto/contract/faults.ts';
import type { ServedModel } from '../../../proto/gen/infermesh/v1/types.ts';
import type { LoadOptions } from '../backend.ts';
import { unusable } from '../gguf.ts';
import { Lockstep } from './lockstep.ts';

export type Library = typeof import('node-llama-cpp');

/** Prompt tokens given to the engine at once. Small enough that others' tokens and a cancel need not wait for long. */
const PREFILL_CHUNK_CPU = 64;
const PREFILL_CHUNK_GPU = 512;

/** A model in memory, before it has a context to work in. */
export interface Weights {
  readonly library: Library;
  readonly llama: Llama;
  readonly model: LlamaModel;
  /** In characters; a text of n characters has at least n / longest tokens. */
  readonly longestToken: number;
  readonly threads: number;
}

const NO_ANSWERS = 'it makes vectors of texts and answers nothing; name it in a catalogue of yours, with tasks: [embed]';

/** Everything that exists while a model that answers is in memory. */
export interface Loaded extends Weights {
  readonly context: LlamaContext;
  /** One for each slot, in their order. */
  readonly sequences: readonly LlamaContextSequence[];
  readonly lockstep: Lockstep<LlamaContextSequence>;
  readonly wrapper: ChatWrapper;
  /** Tokens that the model knows; 0 where its file does not tell. */
  readonly vocabulary: number;
  readonly prefillChunk: number;
}

/** @throws Fault ENGINE_FAILED that says what to do */
export function loadModel(options: LoadOptions, progress: (fraction: number) => void): Promise<Loaded> {
  return withWeights(options, progress, async (weights): Promise<Loaded> => {
    const { library, model, threads } = weights;
    if (model.fileInfo.architectureMetadata.attention?.causal === false) throw unusable(options.model.path, NO_ANSWERS);
    const prefillChunk = model.gpuLayers > 0 ? PREFILL_CHUNK_GPU : PREFILL_CHUNK_CPU;
    const context = await model.createContext({
      sequences: options.slots,
      contextSize: contextSizeOf(weights, options),
      batchSize: prefillChunk + options.slots,
      threads,
      // On the CPU it takes more time than it saves: 15 to 25 % of the bundled model's tokens.
      flashAttention: model.gpuLayers > 0 ? 'auto' : false,
      lora: { adapters: (options.adapters ?? []).map(({ path, scale }) => ({ filePath: path, scale })) },
    });
    const wrapper = library.resolveChatWrapper(model, { warningLogs: false });
    const sequences = Array.from({ length: options.slots }, () => context.getSequence());
    const lockstep = new Lockstep(sequences);
    return { ...weights, context, sequences, lockstep, wrapper, vocabulary: tokensOf(model).length, prefillChunk };
  });
}

/** What the model can do, or less where the catalogue says so. */
export function contextSizeOf({ model }: Pick<Weights, 'model'>, { model: { contextLength } }: LoadOptions): number {
  return Math.min(model.trainContextSize, contextLength || model.trainContextSize);
}

/**
 * Loads the weights, and what `open` puts around them. Where that fails nothing of it stays in memory.
 * @throws Fault ENGINE_FAILED that says what to do
 */
export async function withWeights<T>(
  options: LoadOptions,
  progress: (fraction: number) => void,
  open: (weights: Weights) => Promise<T>,
): Promise<T> {
  const { path } = options.model;
  const library = await import('node-llama-cpp');
  let lastWords = '';
  const llama = await library.getLlama({
    gpu: options.gpuLayers === 0 ? false : 'auto',
    build: 'never',
    skipDownload: true,
    progressLogs: false,
    logLevel: library.LlamaLogLevel.error,
    logger: (_level, message) => {
      lastWords ||= message.trim();
    },
  });
  try {
    const threads = options.threads || Math.max(1, Math.min(llama.cpuMathCores, availableParallelism() - 1));
    llama.maxThreads = threads;
    const model = await llama.loadModel({
      modelPath: path,
      gpuLayers: options.gpuLayers,
      onLoadProgress: (done) => progress(done * 0.9),
    });
    return await open({ library, llama, model, longestToken: longestOf(tokensOf(model)), threads });
  } catch (error) {
    await llama.dispose();
    throw loadFault(library, options, lastWords, error);
  }
}

function loadFault(library: Library, { model, adapters = [] }: LoadOptions, lastWords: string, error: unknown): Fault {
  if (error instanceof Fault) return error;
  const path = [model, ...adapters].map((file) => file.path).join(' with ');
  if (error instanceof library.InsufficientMemoryError) {
    return unusable(path, 'there is not enough memory; take fewer slots, a shorter context or a smaller model', error);
  }
  const words = lastWords || (error instanceof Error ? error.message : '');
  return unusable(
    path,
    `${words || 'the engine refused it'}; the file may be truncated or corrupt: check its digest, fetch it again`,
    error,
  );
}

function tokensOf(model: LlamaModel): readonly string[] {
  return model.fileInfo.metadata.tokenizer?.ggml?.tokens ?? [];
}

function longestOf(tokens: readonly string[]): number {
  return tokens.reduce((longest, token) => Math.max(longest, token.length), 0) || Number.POSITIVE_INFINITY;
}

/**
 * Where the model lies, and what it takes: of the machine's memory as much as its process has by now, which is there for it
 * alone.
 * @param contextVram bytes that what it works in takes on the GPU
 */
export function placed({ model }: Weights, contextVram = 0): Pick<ServedModel, 'gpuShare' | 'memoryBytes'> {
  const { gpuLayers, fileInsights, memoryUsage } = model;
  return {
    gpuShare: Math.min(1, gpuLayers / fileInsights.totalLayers),
    memoryBytes: process.memoryUsage.rss() + memoryUsage.vram + contextVram,
  };
}

/** Over the vocabulary and all that decides how text becomes tokens, but not over the chat template. */
export function tokenizerDigest(model: LlamaModel): string {
  const settings = Object.entries(model.fileInfo.metadata.tokenizer?.ggml ?? {});
  const hash = createHash('sha256');
  for (const [key, value] of settings.sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(JSON.stringify([key, value], (_, each) => (typeof each === 'bigint' ? String(each) : each)));
  }
  return `sha256:${hash.digest('hex')}`;
}
