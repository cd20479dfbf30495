/** Values as bytes and back; decoding throws for what is not of its form. */
import { CachedAnswer, CachedModel, Evidence } from '../proto/gen/infermesh/v1/cache.ts';
import type { StoredEvidence } from './port.ts';

export interface Codec<Value> {
  encode(value: Value): Uint8Array;
  /** @throws Error for bytes that are no such value */
  decode(bytes: Buffer): Value;
  /** Bytes of memory that it takes, about. */
  sizeOf(value: Value): number;
}

/** Of objects and short strings around what is large in a value. */
const OBJECT_BYTES = 256;
const PAIR_BYTES = 64;
const ANSWER_OBJECTS_BYTES = 2048;
const TIME_BYTES = 8;

export const answerCodec: Codec<CachedAnswer> = {
  encode: (answer) => CachedAnswer.encode(answer).finish(),
  decode: (bytes) => CachedAnswer.decode(bytes),
  sizeOf: ({ deltas }) => deltas.length + ANSWER_OBJECTS_BYTES,
};

export const modelCodec: Codec<CachedModel> = {
  encode: (model) => CachedModel.encode(model).finish(),
  decode: (bytes) => CachedModel.decode(bytes),
  sizeOf: () => 2 * OBJECT_BYTES,
};

export const evidenceCodec: Codec<StoredEvidence> = {
  encode: ({ evidence, putAtMs }) => Buffer.concat([float64(putAtMs), Evidence.encode(evidence).finish()]),
  decode: (bytes) => ({ putAtMs: bytes.readDoubleLE(0), evidence: Evidence.decode(bytes.subarray(TIME_BYTES)) }),
  sizeOf: ({ evidence }) => evidence.chunks.reduce((sum, chunk) => sum + sizeOfChunk(chunk), OBJECT_BYTES),
};

export const vectorCodec: Codec<Float32Array> = {
  encode: ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength),
  decode: (bytes) => {
    // A view into the bytes would have to begin at a multiple of four.
    const copy = new Uint8Array(bytes);
    return new Float32Array(copy.buffer);
  },
  sizeOf: ({ byteLength }) => byteLength + OBJECT_BYTES,
};

function sizeOfChunk({ text, source, metadata }: Evidence['chunks'][number]): number {
  const pairs = Object.entries(metadata).reduce((sum, [name, value]) => sum + 2 * (name.length + value.length) + PAIR_BYTES, 0);
  return 2 * (text.length + source.length) + pairs + OBJECT_BYTES;
}

export function float64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(TIME_BYTES);
  bytes.writeDoubleLE(value);
  return bytes;
}

/** So that nobody changes what others will be given. Bytes and vectors can't be frozen. */
export function frozen<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || Object.isFrozen(value)) return value;
  for (const part of Object.values(value)) frozen(part);
  return Object.freeze(value);
}
