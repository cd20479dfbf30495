/** GGUF files of a few hundred bytes, and what a header may claim that no file should. */

export type Entry = readonly [key: string, type: number, value: Buffer];

export interface TensorInfo {
  readonly name: string;
  readonly dimensions: readonly (number | bigint)[];
  readonly type: number;
  readonly offset: number | bigint;
}

export interface GgufParts {
  readonly version?: number;
  /** What the header claims; as many as there are without it. */
  readonly tensorCount?: number | bigint;
  readonly entryCount?: number | bigint;
  readonly entries?: readonly Entry[];
  readonly tensors?: readonly TensorInfo[];
  /** Bytes behind the padding. */
  readonly weights?: Buffer;
}

export const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
export const u64 = (value: number | bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
export const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
export const list = (type: number, length: number | bigint, items: Buffer) => Buffer.concat([u32(type), u64(length), items]);

export const UINT32 = 4;
export const STRING = 8;
export const ARRAY = 9;

export const number = (key: string, value: number): Entry => [key, UINT32, u32(value)];

/** What a model of the llama family says of itself. */
export const LLAMA: readonly Entry[] = [
  ['general.architecture', STRING, text('llama')],
  number('general.file_type', 15),
  number('llama.context_length', 4096),
  number('llama.block_count', 2),
  number('llama.embedding_length', 64),
  number('llama.attention.head_count', 8),
  number('llama.attention.head_count_kv', 2),
  ['tokenizer.ggml.tokens', ARRAY, list(STRING, 3, Buffer.concat(['a', 'b', 'longer'].map(text)))],
];

/** 64 numbers of 32 bits. */
export const TENSOR: TensorInfo = { name: 'token_embd.weight', dimensions: [64], type: 0, offset: 0 };

/** A file that is right unless `parts` say otherwise. */
export function ggufFile(parts: GgufParts = {}): Buffer {
  const { version = 3, entries = LLAMA, tensors = [TENSOR], weights = Buffer.alloc(256, 7) } = parts;
  const header = Buffer.concat([
    Buffer.from('GGUF'),
    u32(version),
    u64(parts.tensorCount ?? tensors.length),
    u64(parts.entryCount ?? entries.length),
    ...entries.flatMap(([key, type, value]) => [text(key), u32(type), value]),
    ...tensors.flatMap(({ name, dimensions, type, offset }) => [
      text(name),
      u32(dimensions.length),
      ...dimensions.map(u64),
      u32(type),
      u64(offset),
    ]),
  ]);
  return Buffer.concat([header, Buffer.alloc((32 - (header.length % 32)) % 32), weights]);
}
