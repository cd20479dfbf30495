/** Vectors as the Embeddings API tells them (https://platform.openai.com/docs/api-reference/embeddings). Pure. */
import type { Embedding } from '../backend.ts';
import { failure } from '../job-run.ts';
import { unitVector } from '../unit-vector.ts';

/**
 * Bytes that a text may have for each token of the context, tried in this order: most texts fit by far, prose has about
 * four bytes to a token, and no token has less than one. Two tokens of a context are the model's own.
 */
export const LIMITS: readonly number[] = [32, 4, 2.5, 1.5, 0.9];

/** @returns the text's beginning, of whole code points; never empty, since some servers refuse an empty text */
export function cutToBytes(text: string, most: number): string {
  const wellFormed = text.toWellFormed();
  const bytes = Buffer.from(wellFormed);
  if (bytes.length === 0) return ' ';
  if (bytes.length <= most) return wellFormed;
  let end = Math.max(1, Math.floor(most));
  // Bytes that go on with a character begin with the bits 10.
  while (end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end) || ' ';
}

interface Told {
  readonly data?: readonly { readonly index?: number; readonly embedding?: readonly unknown[] }[];
  readonly usage?: { readonly prompt_tokens?: number };
}

/** @returns a vector of length 1 for each text, in their order */
export function readVectors(told: unknown, texts: number): Embedding {
  const { data, usage } = (told ?? {}) as Told;
  const vectors = new Array<Float32Array | undefined>(texts).fill(undefined);
  for (const [position, entry] of (Array.isArray(data) ? data : []).entries()) {
    const { embedding, index = position } = (entry ?? {}) as NonNullable<Told['data']>[number];
    const numbers =
      Array.isArray(embedding) && embedding.every((each) => typeof each === 'number') ? (embedding as number[]) : [];
    if (Number.isInteger(index) && index >= 0 && index < texts) vectors[index] = unitVector(numbers);
  }
  const whole = vectors.filter((vector) => vector !== undefined);
  if (whole.length !== texts) return failure('ENGINE_FAILED', 'the server did not give a vector with a direction for each text');
  if (whole.some(({ length }) => length !== whole[0]?.length)) {
    return failure('ENGINE_FAILED', 'the server gave vectors of different lengths');
  }
  const inputTokens = usage?.prompt_tokens;
  return { type: 'vectors', vectors: whole, inputTokens: Number.isSafeInteger(inputTokens) ? (inputTokens as number) : 0 };
}
