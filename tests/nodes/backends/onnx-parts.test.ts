/** What the onnx backend is made of, without its library. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nextBatch } from '../../../nodes/backends/onnx/batch.ts';
import { importOptional } from '../../../nodes/backends/onnx/library.ts';
import { pooled } from '../../../nodes/backends/onnx/pooling.ts';
import type { ReadBatch } from '../../../nodes/backends/onnx/reader.ts';
import { BatchReader } from '../../../nodes/backends/onnx/reader.ts';
import { NEVER } from '../../contract/embeddings.ts';

const text = (length: number) => ({ tokens: { length } });
const lengthsOf = (batch: readonly { tokens: { length: number } }[]) => batch.map(({ tokens }) => tokens.length);

describe('a package that is not there', () => {
  const missing = Object.assign(new Error('cannot find it'), { code: 'ERR_MODULE_NOT_FOUND' });

  test('is named, with the command that installs it', async () => {
    await expect(importOptional('some-package', () => Promise.reject(missing))).rejects.toMatchObject({
      reason: 'ENGINE_FAILED',
      message: '--engine onnx needs the package some-package, which is not installed: run npm ci --include=optional',
    });
  });

  test('is told from one that is here and does not load', async () => {
    const failing = importOptional('some-package', () => Promise.reject(new Error('GLIBC_2.38 not found')));
    await expect(failing).rejects.toThrow('some-package, which does not load here');
  });
});

describe('a batch', () => {
  test('takes one text of each list in turns', () => {
    const lists = [[text(10), text(11), text(12)], [text(8)], [text(9), text(12)]];
    expect(lengthsOf(nextBatch(lists, { texts: 5, tokens: 1000 }))).toEqual([10, 8, 9, 11, 12]);
    expect(lists.map(lengthsOf)).toEqual([[12], [], []]);
  });

  test('leaves a text that would fill the others up for more than half of it', () => {
    const lists = [[text(5)], [text(6), text(200)], [text(7)]];
    expect(lengthsOf(nextBatch(lists, { texts: 32, tokens: 10_000 }))).toEqual([5, 6, 7]);
    expect(lengthsOf(nextBatch(lists, { texts: 32, tokens: 10_000 }))).toEqual([200]);
  });

  test('keeps within its limits, is mostly no filling, and is empty only where nothing waits', () => {
    const lists = fc.array(fc.array(fc.integer({ min: 1, max: 300 })), { maxLength: 6 });
    const limits = fc.record({ texts: fc.integer({ min: 1, max: 16 }), tokens: fc.integer({ min: 1, max: 600 }) });
    fc.assert(
      fc.property(lists, limits, (lengths, limit) => {
        const waiting = lengths.map((each) => each.toSorted((a, b) => a - b).map(text));
        const all = waiting.flat();
        const read = [];
        while (waiting.some(({ length }) => length > 0)) {
          const batch = nextBatch(waiting, limit);
          const size = batch.length * Math.max(...lengthsOf(batch));
          expect(batch.length).toBeGreaterThan(0);
          expect(batch.length).toBeLessThanOrEqual(limit.texts);
          if (batch.length > 1) expect(size).toBeLessThanOrEqual(limit.tokens);
          expect(lengthsOf(batch).reduce((sum, length) => sum + length, 0)).toBeGreaterThanOrEqual(size / 2);
          read.push(...batch);
        }
        expect(new Set(read)).toEqual(new Set(all));
        expect(read).toHaveLength(all.length);
      }),
    );
  });
});

describe('pooling', () => {
  // Two texts of two dimensions: three tokens, and one with two of filling behind it.
  const numbers = new Float32Array([3, 0, 0, 4, 0, 2, 0, 2, 9, 9, 9, 9]);
  const vectorsOf = (pooling: Parameters<typeof pooled>[3]) =>
    pooled(numbers, [3, 1], 3, pooling).map((vector) => [...(vector ?? [])]);

  test('takes the mean over the tokens without the filling, the first token, or the last', () => {
    const [mean] = vectorsOf('mean') as [number[]];
    expect(mean[0]).toBeCloseTo(3 / Math.hypot(3, 6), 6);
    expect(vectorsOf('mean')[1]).toEqual([0, 1]);
    expect(vectorsOf('first')).toEqual([
      [1, 0],
      [0, 1],
    ]);
    expect(vectorsOf('last')).toEqual([
      [0, 1],
      [0, 1],
    ]);
  });

  test('takes what the model has pooled by itself as it is, but for its length', () => {
    expect(pooled(new Float32Array([0, 5, -2, 0]), [3, 1], 3, 'none').map((vector) => [...(vector ?? [])])).toEqual([
      [0, 1],
      [-1, 0],
    ]);
  });

  test('gives nothing for a text whose vector has no direction', () => {
    expect(pooled(new Float32Array([0, 0, Number.NaN, 1]), [1, 1], 1, 'none')).toEqual([undefined, undefined]);
  });
});

/** Reads when it is told to, and keeps what it was given. */
class HeldReader {
  readonly batches: (readonly (readonly number[])[])[] = [];
  readonly #waiting: (() => void)[] = [];

  readonly read: ReadBatch = async (texts) => {
    this.batches.push(texts);
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (texts.some(([token]) => token === BROKEN)) throw new RangeError('a token that the model does not have');
    return texts.map(([token]) => (token === NOWHERE ? undefined : new Float32Array([token as number])));
  };

  /** Lets the batch that is being read be over. */
  release(): void {
    this.#waiting.shift()?.();
  }
}

const BROKEN = 98;
const NOWHERE = 99;
const LIMITS = { texts: 2, tokens: 100 };
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

async function released(held: HeldReader, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    held.release();
    await turn();
  }
}

describe('the reader of batches', () => {
  test('gives each embed its vectors in its own order, whatever was read when', async () => {
    const reader = new BatchReader(
      (texts) => Promise.resolve(texts.map(([token]) => new Float32Array([token as number]))),
      LIMITS,
    );
    const embeds = [[[1, 1, 1], [2], [3, 3]], [[4]], [[5, 5], [6]]];
    const read = await Promise.all(embeds.map((texts) => reader.read(texts, NEVER)));
    expect(read.map((vectors) => Array.isArray(vectors) && vectors.map(([first]) => first))).toEqual([[1, 2, 3], [4], [5, 6]]);
  });

  test('lets a short list pass between the batches of a long one', async () => {
    const held = new HeldReader();
    const reader = new BatchReader(held.read, { texts: 1, tokens: 100 });
    const long = reader.read([[1], [2], [3]], NEVER);
    const short = reader.read([[7]], NEVER);
    await turn();
    await released(held, 4);
    expect(held.batches.map(([tokens]) => tokens?.[0])).toEqual([1, 7, 2, 3]);
    expect(await short).toHaveLength(1);
    expect(await long).toHaveLength(3);
  });

  test('ends an embed at once when it is cancelled, and reads none of its texts any more', async () => {
    const held = new HeldReader();
    const reader = new BatchReader(held.read, { texts: 1, tokens: 100 });
    const cancel = new AbortController();
    const cancelled = reader.read([[1], [2]], cancel.signal);
    const other = reader.read([[3]], NEVER);
    await turn();
    cancel.abort();
    expect(await cancelled).toMatchObject({ reason: 'CANCELLED' });
    await released(held, 2);
    expect(await other).toHaveLength(1);
    expect(held.batches.map(([tokens]) => tokens?.[0])).toEqual([1, 3]);
  });

  test('ends only the embed whose text breaks the engine', async () => {
    const held = new HeldReader();
    const reader = new BatchReader(held.read, LIMITS);
    const broken = reader.read([[BROKEN]], NEVER);
    const whole = reader.read([[1]], NEVER);
    const nowhere = reader.read([[NOWHERE]], NEVER);
    await turn();
    await released(held, 6);
    expect(await broken).toMatchObject({ reason: 'ENGINE_FAILED', message: 'the engine broke at a text (RangeError)' });
    expect(await whole).toEqual([new Float32Array([1])]);
    expect(await nowhere).toMatchObject({ reason: 'ENGINE_FAILED', message: expect.stringContaining('0 or no number') });
  });

  test('closed, ends what waits and resolves when nothing is being read any more', async () => {
    const held = new HeldReader();
    const reader = new BatchReader(held.read, LIMITS);
    const waiting = reader.read([[1]], NEVER);
    await turn();
    let closed = false;
    const closing = reader.close().then(() => {
      closed = true;
    });
    expect(await waiting).toMatchObject({ reason: 'DRAINING' });
    await turn();
    expect(closed).toBe(false);
    held.release();
    await closing;
    expect(await reader.read([[1]], NEVER)).toMatchObject({ reason: 'DRAINING' });
  });
});
