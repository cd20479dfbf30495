/**
 * Vectors of texts by ONNX Runtime, with a model of Hugging Face: weights in ONNX, and the tokenizer.json that they
 * came with. Texts of all embeds are read in batches.
 *
 * Native code may end its process, and while it computes nothing else runs in it: nodes/engine gives it a child process.
 */
import { availableParallelism } from 'node:os';
import { EMBED_TASK } from '../../proto/contract/embedding.ts';
import { Fault } from '../../proto/contract/faults.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Backend, Embedding, Job, Load, LoadOptions, Run, Sink } from './backend.ts';
import { unusable } from './gguf.ts';
import { failure } from './job-run.ts';
import { answersNothing, MEASURED_TEXT, NO_LOAD } from './no-answers.ts';
import type { BatchLimits } from './onnx/batch.ts';
import { readModelFiles } from './onnx/files.ts';
import { BatchReader } from './onnx/reader.ts';
import { OnnxSession } from './onnx/session.ts';
import { TextTokenizer } from './onnx/tokenizer.ts';
import { assumedWatts } from './power.ts';
import { servedModel } from './served.ts';

/** A batch holds up what comes after it, a cancel too. On a CPU more tokens at a time save nothing any more. */
const CPU_LIMITS: BatchLimits = { texts: 32, tokens: 256 };
const GPU_LIMITS: BatchLimits = { texts: 64, tokens: 16_384 };
/** Between two vectors of a text, in any number: more than rounding, less than any weights of 8 bits make. */
const SAME = 1e-4;
/** Other words, numbers and letters than those of the text that is timed. */
const COMPANY = 'And yet: 1,000 blue birds, 42 % of them über the café? "Никогда", she said; 今天天气很好。';

interface Loaded {
  readonly session: OnnxSession;
  readonly tokenizer: TextTokenizer;
  readonly reader: BatchReader;
}

export class OnnxEmbeddings implements Backend {
  #loaded: Loaded | undefined;

  async load(options: LoadOptions, progress: (fraction: number) => void): Promise<ServedModel> {
    const { model: spec, watts } = options;
    const threads = options.threads || Math.max(1, availableParallelism() - 1);
    const files = await readModelFiles(spec);
    const tokenizer = await TextTokenizer.load(spec, files);
    const session = await OnnxSession.open(options, threads, files.pooling);
    progress(0.5);
    try {
      const { limits, dimensions, tokensPerSecond } = await tryOut(spec.path, session, tokenizer);
      this.#loaded = { session, tokenizer, reader: new BatchReader((texts) => session.vectorsOf(texts), limits) };
      progress(1);
      return servedModel(options, {
        engine: 'onnx',
        engineVersion: `${session.version} ${session.provider}`,
        tasks: [EMBED_TASK],
        contextLength: files.contextSize,
        tokenizerDigest: tokenizer.digest,
        prefillTokensPerSecond: tokensPerSecond,
        embeddingDimensions: dimensions,
        gpuShare: session.provider === 'cuda' ? 1 : 0,
        watts: watts ?? assumedWatts(threads, session.provider === 'cuda' ? 1 : 0),
      });
    } catch (error) {
      await session.release();
      throw error;
    }
  }

  generate(_job: Job, sink: Sink): Run {
    return answersNothing(sink);
  }

  async embed(texts: readonly string[], signal: AbortSignal): Promise<Embedding> {
    const loaded = this.#loaded;
    if (!loaded) return SHUTTING_DOWN;
    const tokens: (readonly number[])[] = [];
    for (const text of texts) {
      if (signal.aborted) return CANCELLED;
      tokens.push(loaded.tokenizer.tokensOf(text));
      // A text of the greatest length takes milliseconds, and others have their turn too.
      await immediate();
    }
    const read = await loaded.reader.read(tokens, signal);
    if ('reason' in read) return read;
    // A text of nothing is read all the same.
    const inputTokens = tokens.reduce((sum, { length }) => sum + Math.max(1, length - loaded.tokenizer.around), 0);
    return { type: 'vectors', vectors: read, inputTokens };
  }

  currentLoad(): Load {
    return NO_LOAD;
  }

  async dispose(): Promise<void> {
    const loaded = this.#loaded;
    this.#loaded = undefined;
    await loaded?.reader.close();
    await loaded?.session.release();
  }
}

/**
 * Reads the longest text that there can be, then one of usual length with and without company.
 * @throws Fault ENGINE_FAILED where the model cannot do what is said of it
 */
async function tryOut(path: string, session: OnnxSession, tokenizer: TextTokenizer) {
  const read = async (...texts: string[]) => {
    const vectors = await session.vectorsOf(texts.map((text) => tokenizer.tokensOf(text)));
    if (vectors.every((vector) => vector !== undefined)) return vectors;
    throw unusable(path, 'it makes vectors that have no direction; fetch it again');
  };
  try {
    await read('the longest text that there can be '.repeat(1000));
    const start = performance.now();
    const [alone] = await read(MEASURED_TEXT);
    const seconds = (performance.now() - start) / 1000;
    const [together] = await read(MEASURED_TEXT, `${MEASURED_TEXT} ${COMPANY}`);
    // Weights of 8 bits as a rule have one scale for all numbers of a batch: a vector would tell of others' texts.
    const alike = (alone as Float32Array).every((value, i) => Math.abs(value - (together?.[i] as number)) <= SAME);
    const limits = session.provider === 'cuda' ? GPU_LIMITS : CPU_LIMITS;
    return {
      limits: alike ? limits : { ...limits, texts: 1 },
      dimensions: (alone as Float32Array).length,
      tokensPerSecond: tokenizer.tokensOf(MEASURED_TEXT).length / seconds,
    };
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw unusable(path, 'it cannot read a text; its tokenizer.json may be that of another model', error);
  }
}

const immediate = () => new Promise<void>((resolve) => setImmediate(resolve));

const CANCELLED = failure('CANCELLED', 'cancelled');
const SHUTTING_DOWN = failure('DRAINING', 'the engine is shutting down');
