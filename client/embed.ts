/** Vectors of texts as a program asks for them, and as it gets them. */
import { checkEmbed } from '../proto/contract/embed-bounds.ts';
import type { EmbedRequest, EmbedResponse } from '../proto/gen/infermesh/v1/inference.ts';

export interface EmbedInput {
  /** 1 to 1,024 of at least one character. */
  readonly texts: readonly string[];
  /** Who must make them; absent: whoever does. */
  readonly model?: string;
  /** All are made anew, instead of taken from the cache where they are there. */
  readonly refresh?: boolean;
}

export interface Embeddings {
  /** As many as texts, in their order. */
  readonly vectors: readonly Float32Array[];
  /** Only vectors with the same model and digest can be compared. */
  readonly model: string;
  readonly modelDigest: string;
  readonly dimensions: number;
  /** Of the vectors, those that came from the cache. */
  readonly cached: number;
}

/** @throws Fault INVALID_REQUEST */
export function embedRequest({ texts, model = '', refresh = false }: EmbedInput): EmbedRequest {
  return checkEmbed({ texts: [...texts], model, refresh });
}

export function embeddingsOf({ vectors, model, modelDigest, dimensions, cached }: EmbedResponse): Embeddings {
  return { vectors: vectors.map(({ values }) => Float32Array.from(values)), model, modelDigest, dimensions, cached };
}
