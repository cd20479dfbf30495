import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { factsOf } from '../../../nodes/models/gguf/facts.ts';
import type { GgufHeader } from '../../../nodes/models/gguf/header.ts';
import { readHeader } from '../../../nodes/models/gguf/header.ts';
import { BadGguf, MAX_HEADER_BYTES } from '../../../nodes/models/gguf/reader.ts';
import type { Entry, GgufParts } from './gguf-file.ts';
import { ARRAY, ggufFile, LLAMA, list, number, STRING, TENSOR, text, u32, u64 } from './gguf-file.ts';

const BUNDLED = ['stories-15m', 'all-minilm-l6-v2'].map((name) =>
  readFileSync(fileURLToPath(new URL(`../../../nodes/models/bundled/${name}-q8_0.gguf`, import.meta.url))),
);

interface Reads {
  readonly header?: GgufHeader;
  readonly problem?: string;
  /** Bytes that were asked for. */
  readonly bytes: number;
  readonly windows: number;
}

/** Reads a file that lies in memory, or of which only a beginning does. */
function read(file: Buffer, { size = file.length, window = 4096 } = {}): Reads {
  const reading = readHeader(size);
  let bytes = 0;
  let windows = 0;
  try {
    for (let step = reading.next(); ; windows++) {
      if (step.done) return { header: step.value, bytes, windows };
      // Behind what was written the file is a hole: it reads as zeros.
      const hole = Math.max(0, Math.min(size - step.value, window));
      const given = step.value < file.length ? file.subarray(step.value, step.value + window) : Buffer.alloc(hole);
      bytes += given.length;
      step = reading.next(given);
    }
  } catch (error) {
    if (!(error instanceof BadGguf)) throw error;
    return { problem: error.message, bytes, windows };
  }
}

const problemOf = (parts: GgufParts) => read(ggufFile(parts)).problem;
const withEntry = (...entries: Entry[]) => problemOf({ entries: [...LLAMA, ...entries] });
const withTensor = (tensor: Partial<typeof TENSOR>) => problemOf({ tensors: [{ ...TENSOR, ...tensor }] });

describe('the header of a GGUF file tells', () => {
  test('what the bundled models are, however the file is cut into windows', () => {
    const [stories, minilm] = BUNDLED.map((file) => factsOf(read(file).header!));
    expect(stories).toMatchObject({
      architecture: 'llama',
      quantization: 'Q8_0',
      contextLength: 256,
      layers: 6,
      readsAtOnce: false,
    });
    // 6 layers, 6 heads of 48 numbers, a key and a value of 2 bytes each.
    expect(stories!.kvBytesPerToken).toBe(6 * 6 * 48 * 2 * 2);
    expect(minilm).toMatchObject({
      architecture: 'bert',
      contextLength: 512,
      readsAtOnce: true,
      kvBytesPerToken: 0,
      vocabulary: 30_522,
    });
    for (const window of [1000, 1 << 20]) expect(read(BUNDLED[0]!, { window }).header).toEqual(read(BUNDLED[0]!).header);
  });

  test('what a model of any size in between is', () => {
    for (const window of [1, 7, 4096]) {
      expect(factsOf(read(ggufFile(), { window }).header!)).toEqual({
        architecture: 'llama',
        quantization: 'Q4_K_M',
        contextLength: 4096,
        layers: 2,
        embeddingLength: 64,
        heads: 8,
        vocabulary: 3,
        kvBytesPerToken: 2 * 2 * 16 * 2,
        readsAtOnce: false,
        weightBytes: 256,
      });
    }
  });

  test('of heads that differ from layer to layer', () => {
    const heads: Entry = ['llama.attention.head_count_kv', ARRAY, list(4, 2, Buffer.concat([u32(1), u32(4)]))];
    const entries = [...LLAMA.filter(([key]) => !key.endsWith('head_count_kv')), heads];
    expect(factsOf(read(ggufFile({ entries })).header!).kvBytesPerToken).toBe((1 + 4) * 16 * 2);
  });

  test('nothing that cannot be', () => {
    const nonsense = LLAMA.map(([key, type, value]): Entry => [key, type, type === 4 ? u32(0xffffffff) : value]);
    expect(factsOf(read(ggufFile({ entries: nonsense })).header!)).toMatchObject({
      quantization: undefined,
      contextLength: undefined,
      layers: undefined,
      kvBytesPerToken: undefined,
    });
    expect(factsOf(read(ggufFile({ entries: [] })).header!)).toMatchObject({ architecture: '', vocabulary: undefined });
  });
});

describe('a file is refused, with what is wrong with it, that', () => {
  test.each<[string, string | undefined, RegExp]>([
    ['is a web page', read(Buffer.from('<!doctype html><html><body>404')).problem, /is not a GGUF file/],
    ['is empty', read(Buffer.alloc(0)).problem, /it has only 0 bytes/],
    ['is of version 1', problemOf({ version: 1 }), /GGUF version is 1, and only 2 and 3/],
    ['claims 2^60 tensors', problemOf({ tensorCount: 2n ** 60n }), /claims 11529215\d+ tensors/],
    ['claims 2^63 entries', problemOf({ entryCount: 2n ** 63n }), /claims 9223372\d+ metadata entries/],
    ['has no tensors', problemOf({ tensors: [] }), /has no tensors/],
    [
      'has a key of 4 GB',
      read(Buffer.concat([Buffer.from('GGUF'), u32(3), u64(1), u64(1), u64(2 ** 32)])).problem,
      /the name of a metadata entry takes 4294967296 bytes, and 0 are left/,
    ],
    ['has a string of 4 GB', withEntry(['x', STRING, u64(2 ** 32)]), /the value of "x" takes 4294967296 bytes/],
    ['has a list of 2^61 strings', withEntry(['x', ARRAY, list(STRING, 2n ** 61n, Buffer.alloc(0))]), /is a list of 23058430\d+/],
    ['has a list of 2^62 numbers', withEntry(['x', ARRAY, list(0, 2n ** 62n, Buffer.alloc(0))]), /is a list of/],
    ['has lists within lists', withEntry(['x', ARRAY, list(ARRAY, 1, list(ARRAY, 1, u64(1)))]), /a list of the unknown type 9/],
    ['has a value of no known type', withEntry(['x', 13, u64(1)]), /unknown type 13 of the value of "x"/],
    ['has a name twice', withEntry(number('x', 1), number('x', 1)), /two metadata entries of the name "x"/],
    ['has a name without end', withEntry(number('x'.repeat(300), 1)), /longer than 256 bytes/],
    ['has an alignment of 0', withEntry(number('general.alignment', 0)), /alignment/],
    ['has an alignment of 48', withEntry(number('general.alignment', 48)), /alignment/],
    ['has an alignment of text', withEntry(['general.alignment', STRING, text('32')]), /alignment/],
    ['has a tensor of 2^32 dimensions', withTensor({ dimensions: Array<number>(5).fill(1) }), /5 dimensions/],
    ['has a tensor beyond all memory', withTensor({ dimensions: [2n ** 63n, 2n ** 63n, 2n ** 63n] }), /impossible dimensions/],
    ['has a tensor that is half a block', withTensor({ type: 8, dimensions: [33] }), /impossible dimensions/],
    ['has a tensor between the others', withTensor({ offset: 3 }), /does not lie on a multiple of 32/],
    ['has a tensor behind its end', withTensor({ offset: 256 }), /its tensors reach to/],
    ['has a tensor far behind its end', withTensor({ offset: 2n ** 63n }), /its tensors reach to/],
    ['has a tensor twice', problemOf({ tensors: [TENSOR, TENSOR] }), /two tensors of the name/],
    [
      'has tensors over each other',
      problemOf({ tensors: Array.from({ length: 20 }, (_, index) => ({ ...TENSOR, name: `t${index}` })) }),
      /tensors of 5120 bytes, more than/,
    ],
    ['has a tensor with a name without end', withTensor({ name: 'x'.repeat(64) }), /longer than 63 bytes/],
    ['lost its last byte', read(ggufFile().subarray(0, -1)).problem, /is cut short/],
  ])('%s', (_, problem, says) => expect(problem).toMatch(says));

  test('says at most a line of what stands in the file', () => {
    const problem = withEntry(['\n\u001b[31m'.repeat(40), 99, u64(1)]);
    expect(problem).toMatch(/^[\x20-\x7e]{1,500}$/);
  });

  test('has a header without end, after 64 MB of it at most', () => {
    // Strings of no bytes: a hole of a terabyte reads as as many of them as it likes.
    const entries = [['x', ARRAY, list(STRING, 2 ** 36, Buffer.alloc(0))] as const];
    const { problem, bytes } = read(ggufFile({ entries, tensors: [], tensorCount: 1, weights: Buffer.alloc(0) }), {
      size: 2 ** 40,
      window: 1 << 20,
    });
    expect(problem).toMatch(/header of more than/);
    expect(bytes).toBeGreaterThan(MAX_HEADER_BYTES - (4 << 20));
    expect(bytes).toBeLessThan(MAX_HEADER_BYTES + (4 << 20));
  });
});

describe('whatever is done to the header of a bundled model', () => {
  const HEADER_BYTES = 5000;
  const change = fc.record({
    at: fc.nat(HEADER_BYTES),
    bytes: fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 16 }),
      fc.constantFrom(0n, 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 60n, 2n ** 63n, 2n ** 64n - 1n).map(u64),
    ),
  });

  test('it is read or refused, within what the file has', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...BUNDLED),
        fc.array(change, { minLength: 1, maxLength: 4 }),
        fc.option(fc.nat(2 ** 20), { nil: undefined, freq: 4 }),
        (model, changes, length) => {
          // A megabyte holds all of the header; the rest stays a hole of the same size.
          const file = Buffer.from(model.subarray(0, length ?? 2 ** 20));
          for (const { at, bytes } of changes) if (at + bytes.length <= file.length) file.set(bytes, at);
          const size = length ?? model.length;
          const { header, problem, bytes, windows } = read(file, { size, window: 1 << 18 });
          expect(header === undefined).toBe(problem !== undefined);
          expect(problem?.length ?? 0).toBeLessThan(600);
          expect(bytes).toBeLessThanOrEqual(size * 2);
          expect(windows).toBeLessThan(size / (1 << 18) + 16);
          if (header) factsOf(header);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('so is any row of bytes that begins like one', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(4), fc.nat(4), (bytes, tensors, entries) => {
        const file = Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors), u64(entries), bytes]);
        const { header, problem } = read(file, { window: 16 });
        expect(header === undefined).toBe(problem !== undefined);
      }),
      { numRuns: 2000 },
    );
  });
});
