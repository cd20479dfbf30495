/**
 * The header of a GGUF file, read with bounds on everything that it claims: counts, lengths, nesting and offsets. What
 * llama.cpp would refuse is refused here in words, and what would make it read elsewhere than in the file is too. Pure.
 *
 *   GGUF, version | tensors, entries | entry: key, type, value | tensor: name, dimensions, type, offset | padding | weights
 */
import type { Reading } from './reader.ts';
import { BadGguf, GgufReader } from './reader.ts';
import { ARRAY, BLOCKS, SCALARS, STRING } from './types.ts';

/** Metadata that was kept: numbers, short strings and short lists of numbers. Of other lists only the length is. */
export type Value = number | string | readonly number[] | { readonly length: number };

export interface GgufHeader {
  readonly version: number;
  readonly metadata: ReadonlyMap<string, Value>;
  readonly tensors: number;
  /** Of all tensors whose type is known. */
  readonly weightBytes: number;
  readonly fileBytes: number;
}

const VERSIONS = [2, 3];
const MAX_ENTRIES = 4_096;
const MAX_TENSORS = 65_536;
const MAX_KEY_BYTES = 256;
/** As in ggml. */
const MAX_TENSOR_NAME_BYTES = 63;
const MAX_DIMENSIONS = 4;
const MAX_WEIGHTS = 2 ** 50;
const KEPT_STRING_BYTES = 256;
/** A number for each layer. */
const KEPT_LIST = 1_024;
const DEFAULT_ALIGNMENT = 32;

/** @throws BadGguf */
export function* readHeader(fileBytes: number): Reading<GgufHeader> {
  const reader = new GgufReader(fileBytes);
  const version = yield* readVersion(reader);
  const tensors = yield* readCount(reader, 'tensors', MAX_TENSORS);
  const entries = yield* readCount(reader, 'metadata entries', MAX_ENTRIES);
  const metadata = new Map<string, Value>();
  for (let index = 0; index < entries; index++) {
    const key = yield* reader.string(MAX_KEY_BYTES, 'the name of a metadata entry');
    if (key === undefined) throw new BadGguf(`has a metadata entry whose name is longer than ${MAX_KEY_BYTES} bytes`);
    if (metadata.has(key)) throw new BadGguf(`has two metadata entries of the name ${quoted(key)}`);
    metadata.set(key, yield* readValue(reader, key));
  }
  const weightBytes = yield* readTensors(reader, tensors, alignmentOf(metadata));
  return { version, metadata, tensors, weightBytes, fileBytes };
}

function* readVersion(reader: GgufReader): Reading<number> {
  if (reader.fileBytes < 24) throw new BadGguf(`is not a GGUF file: it has only ${reader.fileBytes} bytes`);
  const magic = yield* reader.number(4, (from, at) => from.readUInt32BE(at));
  if (magic !== 0x47475546) throw new BadGguf('is not a GGUF file: it does not begin like one');
  const version = yield* reader.u32();
  if (!VERSIONS.includes(version)) {
    throw new BadGguf(
      `cannot be read: its GGUF version is ${version}, and only ${VERSIONS.join(' and ')} are known; convert it anew`,
    );
  }
  return version;
}

function* readCount(reader: GgufReader, what: string, most: number): Reading<number> {
  const count = yield* reader.u64();
  if (count > most) throw new BadGguf(`claims ${count} ${what}, and at most ${most} are taken`);
  return count;
}

function* readValue(reader: GgufReader, key: string): Reading<Value> {
  const type = yield* reader.u32();
  const what = `the value of ${quoted(key)}`;
  if (type === STRING) return (yield* reader.string(KEPT_STRING_BYTES, what)) ?? '';
  if (type === ARRAY) return yield* readList(reader, what);
  const scalar = SCALARS.get(type);
  if (!scalar) throw new BadGguf(`has an unknown type ${type} of ${what}`);
  return yield* reader.number(...scalar);
}

function* readList(reader: GgufReader, what: string): Reading<Value> {
  const type = yield* reader.u32();
  const length = yield* reader.u64();
  if (type === STRING) {
    if (length * 8 > reader.bytesLeft) throw tooLong(what, length, reader);
    yield* reader.skipStrings(length, what);
    return { length };
  }
  // Lists of lists too: llama.cpp does not know them, and they could be nested without end.
  const scalar = SCALARS.get(type);
  if (!scalar) throw new BadGguf(`has a list of the unknown type ${type} in ${what}`);
  if (length * scalar[0] > reader.bytesLeft) throw tooLong(what, length, reader);
  if (length > KEPT_LIST) {
    reader.skip(length * scalar[0], what);
    return { length };
  }
  const list: number[] = [];
  while (list.length < length) list.push(yield* reader.number(...scalar));
  return list;
}

function tooLong(what: string, length: number, reader: GgufReader): BadGguf {
  return new BadGguf(`is cut short or corrupt: ${what} is a list of ${length}, and ${reader.bytesLeft} bytes are left`);
}

function alignmentOf(metadata: ReadonlyMap<string, Value>): number {
  const alignment = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT;
  if (typeof alignment === 'number' && Number.isInteger(Math.log2(alignment)) && alignment >= 1 && alignment <= 1 << 20) {
    return alignment;
  }
  throw new BadGguf('has an alignment that is no power of two from 1 to 1048576');
}

interface Tensor {
  readonly name: string;
  readonly offset: number;
  readonly bytes: number;
}

/** @returns the bytes of all of them */
function* readTensors(reader: GgufReader, count: number, alignment: number): Reading<number> {
  if (count === 0) throw new BadGguf('has no tensors, so there is nothing to serve');
  const names = new Set<string>();
  let sum = 0;
  let end = 0;
  for (let index = 0; index < count; index++) {
    const { name, offset, bytes } = yield* readTensor(reader);
    if (names.has(name)) throw new BadGguf(`has two tensors of the name ${quoted(name)}`);
    names.add(name);
    if (offset % alignment !== 0)
      throw new BadGguf(`has a tensor, ${quoted(name)}, that does not lie on a multiple of ${alignment}`);
    sum += bytes;
    end = Math.max(end, offset + bytes);
  }
  const begin = Math.ceil(reader.offset / alignment) * alignment;
  if (begin + end > reader.fileBytes) {
    throw new BadGguf(`is cut short: it has ${reader.fileBytes} bytes, and its tensors reach to ${begin + end}`);
  }
  if (sum > reader.fileBytes) throw new BadGguf(`has tensors of ${sum} bytes, more than the ${reader.fileBytes} of the file`);
  return sum;
}

function* readTensor(reader: GgufReader): Reading<Tensor> {
  const name = yield* reader.string(MAX_TENSOR_NAME_BYTES, 'the name of a tensor');
  if (name === undefined) throw new BadGguf(`has a tensor whose name is longer than ${MAX_TENSOR_NAME_BYTES} bytes`);
  const dimensions = yield* reader.u32();
  if (dimensions > MAX_DIMENSIONS) {
    throw new BadGguf(`has a tensor, ${quoted(name)}, of ${dimensions} dimensions, and at most ${MAX_DIMENSIONS} are taken`);
  }
  let row = 1;
  let weights = 1;
  for (let index = 0; index < dimensions; index++) {
    const size = yield* reader.u64();
    if (index === 0) row = size;
    weights *= size;
  }
  const type = yield* reader.u32();
  const offset = yield* reader.u64();
  // A type that came later than this table has no known size; the engine decides about it.
  const [inBlock, bytes] = BLOCKS.get(type) ?? [1, 0];
  if (!(weights <= MAX_WEIGHTS) || row % inBlock !== 0) {
    throw new BadGguf(`has a tensor, ${quoted(name)}, of impossible dimensions`);
  }
  return { name, offset, bytes: (weights / inBlock) * bytes };
}

/** What a file says of itself may be anything. */
function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}
