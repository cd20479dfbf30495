/**
 * A model in ONNX Runtime: tokens of texts in, vectors out. On the first GPU of CUDA where there is one with its
 * libraries, else on the CPU.
 */
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { LoadOptions } from '../backend.ts';
import { unusable } from '../gguf.ts';
import { importOptional } from './library.ts';
import type { Pooling } from './pooling.ts';
import { pooled } from './pooling.ts';

type Library = typeof import('onnxruntime-node');
type Feeds = Record<string, Tensor>;

/** What such models are fed, all of 64-bit whole numbers; the mask is 0 where a text is filled up. */
const INPUTS = ['input_ids', 'attention_mask', 'token_type_ids'];
/** Given by models that pool by themselves. */
const SENTENCES = 'sentence_embedding';
/** How much of what the runtime says of a file is passed on. */
const MOST_CHARACTERS = 200;

export class OnnxSession {
  readonly #library: Library;
  readonly #session: InferenceSession;
  readonly #output: string;
  readonly #pooling: Pooling;
  readonly provider: 'cuda' | 'cpu';

  private constructor(library: Library, session: InferenceSession, provider: 'cuda' | 'cpu', pooling: Pooling, output: string) {
    this.#library = library;
    this.#session = session;
    this.provider = provider;
    this.#output = output;
    this.#pooling = output === SENTENCES ? 'none' : pooling;
  }

  /**
   * @param pooling where the model does not pool by itself
   * @throws Fault ENGINE_FAILED that says what to do
   */
  static async open({ model, gpuLayers }: LoadOptions, threads: number, pooling: Pooling): Promise<OnnxSession> {
    const library = await importOptional('onnxruntime-node', () => import('onnxruntime-node'));
    // What it would print of its own accord may tell of what a user sent.
    library.env.logLevel = 'fatal';
    const options: InferenceSession.SessionOptions = {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      logSeverityLevel: 4,
      // Texts differ in length, so no pattern of memory comes again.
      enableMemPattern: false,
    };
    const open = (executionProviders: string[]) =>
      library.InferenceSession.create(model.path, { ...options, executionProviders });
    const cuda = gpuLayers === 0 || !offersCuda(library) ? undefined : await open(['cuda', 'cpu']).catch(() => undefined);
    const session = cuda ?? (await open(['cpu']).catch((error: unknown) => refuse(model.path, error)));
    try {
      return new OnnxSession(library, session, cuda ? 'cuda' : 'cpu', pooling, outputOf(model.path, session));
    } catch (error) {
      await session.release();
      throw error;
    }
  }

  get version(): string {
    return this.#library.env.versions.node ?? '';
  }

  /**
   * @param texts their tokens, at least one each
   * @returns of length 1; undefined for a text that the model gave nothing for that has a direction
   */
  async vectorsOf(texts: readonly (readonly number[])[]): Promise<(Float32Array | undefined)[]> {
    const width = Math.max(...texts.map(({ length }) => length));
    const results = await this.#session.run(this.#feeds(texts, width), [this.#output]);
    const result = results[this.#output] as Tensor;
    const lengths = texts.map(({ length }) => length);
    const vectors = pooled(result.data as Float32Array, lengths, width, this.#pooling);
    result.dispose();
    return vectors;
  }

  release(): Promise<void> {
    return this.#session.release();
  }

  #feeds(texts: readonly (readonly number[])[], width: number): Feeds {
    const ids = new BigInt64Array(texts.length * width);
    const mask = new BigInt64Array(texts.length * width);
    for (const [text, tokens] of texts.entries()) {
      for (const [index, token] of tokens.entries()) {
        ids[text * width + index] = BigInt(token);
        mask[text * width + index] = 1n;
      }
    }
    const [inputIds, attentionMask, tokenTypes] = INPUTS as [string, string, string];
    const values = { [inputIds]: ids, [attentionMask]: mask, [tokenTypes]: new BigInt64Array(ids.length) };
    const tensorOf = (name: string) => new this.#library.Tensor('int64', values[name] as BigInt64Array, [texts.length, width]);
    return Object.fromEntries(this.#session.inputNames.map((name) => [name, tensorOf(name)]));
  }
}

function offersCuda({ listSupportedBackends }: Library): boolean {
  return listSupportedBackends().some(({ name }) => name === 'cuda');
}

/** @throws Fault ENGINE_FAILED where the model wants, or gives, something else than a model of sentences does */
function outputOf(path: string, { inputNames, inputMetadata, outputNames, outputMetadata }: InferenceSession): string {
  const strange = inputNames.filter((name) => !INPUTS.includes(name));
  if (strange.length > 0 || !inputNames.includes('input_ids')) {
    throw unusable(path, `its inputs are ${shown(inputNames)}; a model that makes vectors of texts has ${INPUTS.join(', ')}`);
  }
  const wrong = inputMetadata.find((input) => !input.isTensor || input.type !== 'int64');
  if (wrong) throw unusable(path, `its input ${shown([wrong.name])} does not take numbers of the type int64`);
  if (outputNames.includes(SENTENCES)) return SENTENCES;
  const perToken = outputMetadata.find((output) => output.isTensor && output.type === 'float32' && output.shape.length === 3);
  if (perToken) return perToken.name;
  throw unusable(path, `its outputs are ${shown(outputNames)}, none of which is a vector for each token or text, in 32 bits`);
}

/** Names of a file that anyone may have made. */
const shown = (names: readonly string[]) => JSON.stringify(names.slice(0, 8).map((name) => name.slice(0, 64)));

function refuse(path: string, error: unknown): never {
  const message = error instanceof Error ? error.message : '';
  // It names the path again.
  const words = message.split('\n', 1)[0]?.replaceAll(path, 'it').slice(0, MOST_CHARACTERS).replace(/\W+$/, '');
  throw unusable(
    path,
    `${words || 'the engine refused it'}; the file may be truncated, corrupt or no ONNX: fetch it again`,
    error,
  );
}
