/**
 * A model in ONNX Runtime: tokens of texts in, numbers out. On the first GPU of CUDA where there is one with its
 * libraries, else on the CPU.
 */
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { LoadOptions } from '../backend.ts';
import { unusable } from '../gguf.ts';
import { importOptional } from './library.ts';
import type { Outputs } from './outputs.ts';
import { shown } from './outputs.ts';

type Library = typeof import('onnxruntime-node');
type Feeds = Record<string, Tensor>;

/** What such models are fed, all of 64-bit whole numbers; the mask is 0 where a text is filled up. */
const INPUTS = ['input_ids', 'attention_mask', 'token_type_ids'];
/** How much of what the runtime says of a file is passed on. */
const MOST_CHARACTERS = 200;

export interface Numbers {
  readonly values: Float32Array;
  /** Tokens of the longest text. */
  readonly width: number;
}

export class OnnxSession {
  readonly #library: Library;
  readonly #session: InferenceSession;
  readonly provider: 'cuda' | 'cpu';
  /** The one of the model's outputs that is taken. */
  readonly output: string;

  private constructor(library: Library, session: InferenceSession, provider: 'cuda' | 'cpu', output: string) {
    this.#library = library;
    this.#session = session;
    this.provider = provider;
    this.output = output;
  }

  /**
   * @param choose the output, or throws a Fault where none will do
   * @throws Fault ENGINE_FAILED that says what to do
   */
  static async open(
    { model, gpuLayers }: LoadOptions,
    threads: number,
    choose: (path: string, outputs: Outputs) => string,
  ): Promise<OnnxSession> {
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
      checkInputs(model.path, session);
      return new OnnxSession(library, session, cuda ? 'cuda' : 'cpu', choose(model.path, session.outputMetadata));
    } catch (error) {
      await session.release();
      throw error;
    }
  }

  get version(): string {
    return this.#library.env.versions.node ?? '';
  }

  /** @param texts their tokens, at least one each */
  async run(texts: readonly (readonly number[])[]): Promise<Numbers> {
    const width = Math.max(...texts.map(({ length }) => length));
    const results = await this.#session.run(this.#feeds(texts, width), [this.output]);
    return { values: (results[this.output] as Tensor).data as Float32Array, width };
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

/** @throws Fault ENGINE_FAILED where the model wants something else than tokens of texts */
function checkInputs(path: string, { inputNames, inputMetadata }: InferenceSession): void {
  const strange = inputNames.filter((name) => !INPUTS.includes(name));
  if (strange.length > 0 || !inputNames.includes('input_ids')) {
    throw unusable(path, `its inputs are ${shown(inputNames)}; a model that reads texts has ${INPUTS.join(', ')}`);
  }
  const wrong = inputMetadata.find((input) => !input.isTensor || input.type !== 'int64');
  if (wrong) throw unusable(path, `its input ${shown([wrong.name])} does not take numbers of the type int64`);
}

function refuse(path: string, error: unknown): never {
  const message = error instanceof Error ? error.message : '';
  // It names the path again, and quotes the file.
  const words = message
    .split('\n', 1)[0]
    ?.replaceAll(path, 'it')
    .replace(/[^ -~]+/g, '?');
  const said = words?.slice(0, MOST_CHARACTERS).replace(/\W+$/, '');
  throw unusable(
    path,
    `${said || 'the engine refused it'}; the file may be truncated, corrupt or no ONNX: fetch it again`,
    error,
  );
}
