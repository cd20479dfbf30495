/** Brings a model into memory and tries it out: what all that ONNX Runtime does here begins with. */
import { availableParallelism } from 'node:os';
import { Fault } from '../../../proto/contract/faults.ts';
import type { ServedModel } from '../../../proto/gen/infermesh/v1/types.ts';
import type { LoadOptions } from '../backend.ts';
import { unusable } from '../gguf.ts';
import { MEASURED_TEXT } from '../no-answers.ts';
import { assumedWatts } from '../power.ts';
import { servedModel } from '../served.ts';
import type { BatchLimits } from './batch.ts';
import type { ModelFiles } from './files.ts';
import { readModelFiles } from './files.ts';
import type { Outputs } from './outputs.ts';
import type { ReadBatch } from './reader.ts';
import { BatchReader } from './reader.ts';
import { OnnxSession } from './session.ts';
import { TextTokenizer } from './tokenizer.ts';

/** A batch holds up what comes after it, a cancel too. On a CPU more tokens at a time save nothing any more. */
const CPU_LIMITS: BatchLimits = { texts: 32, tokens: 256 };
const GPU_LIMITS: BatchLimits = { texts: 64, tokens: 16_384 };
/** Between what was made of a text alone and in company, in any number: more than rounding, less than weights of 8 bits make. */
const SAME = 1e-4;
/** Other words, numbers and letters than those of the text that is timed. */
const COMPANY = 'And yet: 1,000 blue birds, 42 % of them über the café? "Никогда", she said; 今天天气很好。';

/** What a kind of model differs in. */
export interface Kind {
  readonly output: (path: string, outputs: Outputs) => string;
  /** What is made of each text: as many numbers for one as for another. */
  readonly reading: (session: OnnxSession, files: ModelFiles) => ReadBatch;
}

export interface LoadedModel {
  readonly session: OnnxSession;
  readonly tokenizer: TextTokenizer;
  readonly reader: BatchReader;
  readonly files: ModelFiles;
  /** How many numbers it makes of a text. */
  readonly width: number;
  /** With everything but what it is for. */
  readonly served: ServedModel;
}

/** @throws Fault ENGINE_FAILED that says what to do */
export async function loadOnnx(options: LoadOptions, kind: Kind, progress: (fraction: number) => void): Promise<LoadedModel> {
  const { model: spec, watts } = options;
  const threads = options.threads || Math.max(1, availableParallelism() - 1);
  const files = await readModelFiles(spec);
  const tokenizer = await TextTokenizer.load(spec, files);
  const session = await OnnxSession.open(options, threads, kind.output);
  progress(0.5);
  try {
    const read = kind.reading(session, files);
    const { limits, width, tokensPerSecond } = await tryOut(spec.path, session, tokenizer, read);
    const onGpu = session.provider === 'cuda' ? 1 : 0;
    const served = servedModel(options, {
      engine: 'onnx',
      engineVersion: `${session.version} ${session.provider}`,
      contextLength: files.contextSize,
      tokenizerDigest: tokenizer.digest,
      prefillTokensPerSecond: tokensPerSecond,
      gpuShare: onGpu,
      watts: watts ?? assumedWatts(threads, onGpu),
    });
    progress(1);
    return { session, tokenizer, reader: new BatchReader(read, limits), files, width, served };
  } catch (error) {
    await session.release();
    throw error;
  }
}

/**
 * Reads the longest text that there can be, then one of usual length with and without company.
 * @throws Fault ENGINE_FAILED where the model cannot do what is said of it
 */
async function tryOut(path: string, session: OnnxSession, tokenizer: TextTokenizer, readBatch: ReadBatch) {
  const read = async (...texts: string[]): Promise<Float32Array> => {
    const [first] = await readBatch(texts.map((text) => tokenizer.tokensOf(text)));
    if (first !== undefined) return first;
    throw unusable(path, 'what it makes of a text is 0 or no number; fetch it again');
  };
  try {
    await read('the longest text that there can be '.repeat(1000));
    const start = performance.now();
    const alone = await read(MEASURED_TEXT);
    const seconds = (performance.now() - start) / 1000;
    const together = await read(MEASURED_TEXT, `${MEASURED_TEXT} ${COMPANY}`);
    // Weights of 8 bits as a rule have one scale for all numbers of a batch: what is made of a text would tell of others.
    const alike = alone.every((value, i) => Math.abs(value - (together[i] as number)) <= SAME);
    const limits = session.provider === 'cuda' ? GPU_LIMITS : CPU_LIMITS;
    return {
      limits: alike ? limits : { ...limits, texts: 1 },
      width: alone.length,
      tokensPerSecond: tokenizer.tokensOf(MEASURED_TEXT).length / seconds,
    };
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw unusable(path, 'it cannot read a text; its tokenizer.json may be that of another model', error);
  }
}
