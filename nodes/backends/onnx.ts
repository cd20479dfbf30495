/**
 * Vectors of texts by ONNX Runtime, with a model of Hugging Face: weights in ONNX, and the tokenizer.json that they
 * came with. Texts of all embeds are read in batches.
 *
 * Native code may end its process, and while it computes nothing else runs in it: nodes/engine gives it a child process.
 */
import { EMBED_TASK } from '../../proto/contract/embedding.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Backend, Embedding, Job, Load, LoadOptions, Run, Sink } from './backend.ts';
import { failure } from './job-run.ts';
import { answersNothing, NO_LOAD } from './no-answers.ts';
import type { Kind, LoadedModel } from './onnx/model.ts';
import { loadOnnx } from './onnx/model.ts';
import { SENTENCES, vectorsIn } from './onnx/outputs.ts';
import { pooled } from './onnx/pooling.ts';

const VECTORS: Kind = {
  output: vectorsIn,
  reading: (session, { pooling }) => {
    const how = session.output === SENTENCES ? 'none' : pooling;
    return async (texts) => {
      const { values, width } = await session.run(texts);
      const lengths = texts.map(({ length }) => length);
      return pooled(values, lengths, width, how);
    };
  },
};

export class OnnxEmbeddings implements Backend {
  #loaded: LoadedModel | undefined;

  async load(options: LoadOptions, progress: (fraction: number) => void): Promise<ServedModel> {
    const loaded = await loadOnnx(options, VECTORS, progress);
    this.#loaded = loaded;
    return { ...loaded.served, tasks: [EMBED_TASK], embeddingDimensions: loaded.width };
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
    const inputTokens = tokens.reduce((sum, each) => sum + loaded.tokenizer.countOf(each), 0);
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

const immediate = () => new Promise<void>((resolve) => setImmediate(resolve));

const CANCELLED = failure('CANCELLED', 'cancelled');
const SHUTTING_DOWN = failure('DRAINING', 'the engine is shutting down');
