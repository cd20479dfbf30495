/** A text's vector by llama.cpp: the model reads it once, and pools what it makes of the tokens as its file says. */
import type { LlamaEmbeddingContext, Token } from 'node-llama-cpp';
import type { LoadOptions } from '../backend.ts';
import { unitVector } from '../unit-vector.ts';
import type { Weights } from './model.ts';
import { contextSizeOf, withWeights } from './model.ts';

/** A model that makes vectors, in memory. */
export interface EmbeddingModel extends Weights {
  readonly context: LlamaEmbeddingContext;
  /** Tokens, those that the model itself puts around a text with them. */
  readonly contextSize: number;
}

/** The library wants one cell free, and the model puts a token before and one behind the text. */
const RESERVED_TOKENS = 3;
/** Blanks between words are no tokens, so a text may have more characters than its tokens could hold. */
const CHARACTERS_PER_TOKEN = 32;

/** @throws Fault ENGINE_FAILED that says what to do */
export function loadEmbeddingModel(options: LoadOptions, progress: (fraction: number) => void): Promise<EmbeddingModel> {
  return withWeights(options, progress, async (weights) => {
    const contextSize = contextSizeOf(weights, options);
    // A text is read in one piece: in such a model each token looks at all the others.
    const context = await weights.model.createEmbeddingContext({ contextSize, batchSize: contextSize, threads: weights.threads });
    return { ...weights, context, contextSize };
  });
}

/** The text's tokens, as many as fit into the context. What is far beyond it is not even looked at. */
export function tokensOfText({ model, contextSize }: EmbeddingModel, text: string): Token[] {
  const looked = text.slice(0, contextSize * CHARACTERS_PER_TOKEN).toWellFormed();
  const tokens = model.tokenize(looked).slice(0, contextSize - RESERVED_TOKENS);
  // Of nothing the library makes no vector; the token before each text is as good as none.
  return tokens.length === 0 && model.tokens.bos !== null ? [model.tokens.bos] : tokens;
}

/** @returns of length 1; undefined where the model gave nothing that has a direction */
export async function vectorOf({ context }: EmbeddingModel, tokens: readonly Token[]): Promise<Float32Array | undefined> {
  const { vector } = await context.getEmbeddingFor([...tokens]);
  return unitVector(vector);
}
