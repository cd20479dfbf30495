/**
 * Vectors of texts by llama.cpp, with a model that does nothing else. Texts of several embeds are read in turns, one
 * after the other, so that a short one waits for no long list.
 *
 * A native assertion ends the process, therefore nodes/engine runs this in a child.
 */
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Backend, Embedding, Job, Load, LoadOptions, Run, Sink } from './backend.ts';
import { readWeightsHeader } from './gguf.ts';
import { failure } from './job-run.ts';
import type { EmbeddingModel } from './llama-cpp/embedding.ts';
import { loadEmbeddingModel, tokensOfText, vectorOf } from './llama-cpp/embedding.ts';
import { placed, tokenizerDigest } from './llama-cpp/model.ts';
import { answersNothing, MEASURED_TEXT, NO_LOAD } from './no-answers.ts';
import { assumedWatts } from './power.ts';
import { servedModel } from './served.ts';

export class LlamaCppEmbeddings implements Backend {
  #loaded: EmbeddingModel | undefined;
  readonly #running = new Set<Promise<unknown>>();

  async load(options: LoadOptions, progress: (fraction: number) => void): Promise<ServedModel> {
    await readWeightsHeader(options.model.path);
    const loaded = await loadEmbeddingModel(options, progress);
    const { llama, model, threads } = loaded;
    const prefillTokensPerSecond = await measure(loaded);
    this.#loaded = loaded;
    progress(1);
    return servedModel(options, {
      engine: 'llama-cpp',
      engineVersion: llama.llamaCppRelease.release,
      contextLength: loaded.contextSize,
      tokenizerDigest: tokenizerDigest(model),
      prefillTokensPerSecond,
      embeddingDimensions: model.embeddingVectorSize,
      ...placed(loaded),
      watts: options.watts ?? assumedWatts(threads, model.gpuLayers),
    });
  }

  generate(_job: Job, sink: Sink): Run {
    return answersNothing(sink);
  }

  async embed(texts: readonly string[], signal: AbortSignal): Promise<Embedding> {
    const running = this.#read(texts, signal).catch((error: unknown) =>
      failure('ENGINE_FAILED', `the engine broke the embed (${error instanceof Error ? error.name : typeof error})`),
    );
    this.#running.add(running);
    const embedding = await running;
    this.#running.delete(running);
    return embedding;
  }

  async #read(texts: readonly string[], signal: AbortSignal): Promise<Embedding> {
    const vectors: Float32Array[] = [];
    let inputTokens = 0;
    for (const text of texts) {
      if (signal.aborted) return CANCELLED;
      const loaded = this.#loaded;
      if (!loaded) return SHUTTING_DOWN;
      const tokens = tokensOfText(loaded, text);
      const vector = await vectorOf(loaded, tokens);
      if (!vector) return failure('ENGINE_FAILED', 'the engine gave a vector without a direction');
      vectors.push(vector);
      inputTokens += tokens.length;
    }
    return { type: 'vectors', vectors, inputTokens };
  }

  currentLoad(): Load {
    return NO_LOAD;
  }

  async dispose(): Promise<void> {
    const loaded = this.#loaded;
    this.#loaded = undefined;
    // Freeing memory under a running decode crashes the process.
    await Promise.all(this.#running);
    await loaded?.context.dispose();
    await loaded?.model.dispose();
    await loaded?.llama.dispose();
  }
}

/** Warms up, then times one text. @returns tokens per second */
async function measure(loaded: EmbeddingModel): Promise<number> {
  const tokens = tokensOfText(loaded, MEASURED_TEXT);
  await vectorOf(loaded, tokens);
  const start = performance.now();
  await vectorOf(loaded, tokens);
  return (tokens.length * 1000) / (performance.now() - start);
}

const CANCELLED = failure('CANCELLED', 'cancelled');
const SHUTTING_DOWN = failure('DRAINING', 'the engine is shutting down');
