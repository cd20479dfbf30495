/** What the header of a GGUF file tells of its model. Every figure may be missing, or nonsense, and is then undefined. Pure. */
import type { GgufHeader, Value } from './header.ts';
import { QUANTIZATIONS } from './types.ts';

export interface ModelFacts {
  /** Such as llama, qwen2, bert. */
  readonly architecture: string;
  /** Such as Q4_K_M. */
  readonly quantization: string | undefined;
  /** Tokens that it was trained on. */
  readonly contextLength: number | undefined;
  readonly layers: number | undefined;
  readonly embeddingLength: number | undefined;
  readonly heads: number | undefined;
  readonly vocabulary: number | undefined;
  /** Of the KV cache in 16 bits; 0 for models that read a text at once and keep nothing. */
  readonly kvBytesPerToken: number | undefined;
  /** It makes vectors: each token is read together with those behind it. */
  readonly readsAtOnce: boolean;
  readonly weightBytes: number;
}

/** No model has so many of anything that is counted here. */
const MOST = 1e8;
const MAX_LAYERS = 4_096;
const KV_BYTES = 2;

export function factsOf({ metadata, weightBytes }: GgufHeader): ModelFacts {
  const name = metadata.get('general.architecture');
  const architecture = typeof name === 'string' ? name : '';
  const get = (key: string) => metadata.get(`${architecture}.${key}`);
  const readsAtOnce = get('attention.causal') === 0;
  const fileType = metadata.get('general.file_type');
  return {
    architecture,
    quantization: typeof fileType === 'number' ? QUANTIZATIONS.get(fileType) : undefined,
    contextLength: count(get('context_length')),
    layers: count(get('block_count'), MAX_LAYERS),
    embeddingLength: count(get('embedding_length')),
    heads: largest(get('attention.head_count')),
    vocabulary: count(get('vocab_size')) ?? lengthOf(metadata.get('tokenizer.ggml.tokens')),
    kvBytesPerToken: readsAtOnce ? 0 : kvBytesPerToken(get),
    readsAtOnce,
    weightBytes,
  };
}

/** A key and a value for each head that has its own, in each layer. Sliding windows are not credited: it is at most this. */
function kvBytesPerToken(get: (key: string) => Value | undefined): number | undefined {
  const layers = count(get('block_count'), MAX_LAYERS);
  const heads = largest(get('attention.head_count'));
  const embedding = count(get('embedding_length'));
  if (layers === undefined || heads === undefined || embedding === undefined) return undefined;
  const usual = embedding / heads;
  const perHead = (count(get('attention.key_length')) ?? usual) + (count(get('attention.value_length')) ?? usual);
  const kvHeads = get('attention.head_count_kv');
  const ofAllLayers = isList(kvHeads)
    ? kvHeads.slice(0, layers).reduce((sum, each) => sum + (count(each) ?? 0), 0)
    : layers * (count(kvHeads) ?? heads);
  return ofAllLayers * perHead * KV_BYTES;
}

function count(value: Value | undefined, most = MOST): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= most ? value : undefined;
}

function largest(value: Value | undefined): number | undefined {
  return isList(value) ? count(Math.max(...value)) : count(value);
}

function lengthOf(value: Value | undefined): number | undefined {
  return typeof value === 'object' ? count(value.length) : undefined;
}

function isList(value: Value | undefined): value is readonly number[] {
  return Array.isArray(value);
}
