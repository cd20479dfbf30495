import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { ModelSpec } from '../../../nodes/backends/backend.ts';
import { contextWithin, needsBytes } from '../../../nodes/models/memory.ts';
import { openModelStore } from '../../../nodes/models/store.ts';
import { Folder } from '../../support/folder.ts';
import type { Entry } from './gguf-file.ts';
import { ggufFile, number, STRING, text } from './gguf-file.ts';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

/** The shape of Llama 3.1 8B: 128 KiB of cache for each token. */
const LLAMA_8B: readonly Entry[] = [
  ['general.architecture', STRING, text('llama')],
  number('llama.context_length', 131_072),
  number('llama.block_count', 32),
  number('llama.embedding_length', 4096),
  number('llama.attention.head_count', 32),
  number('llama.attention.head_count_kv', 8),
  number('llama.vocab_size', 128_256),
];
const WEIGHTS = 4.92e9;

async function modelOf(entries: readonly Entry[], spec: Partial<ModelSpec> = {}): Promise<ModelSpec> {
  const path = join(folder.path, 'model.gguf');
  await writeFile(path, ggufFile({ entries }));
  return { ...(await openModelStore().locate('stories-15m'))!, path, sizeBytes: WEIGHTS, contextLength: 131_072, ...spec };
}

describe('the memory that a model needs', () => {
  test('is its weights, a cache for each slot, and an engine', async () => {
    const model = await modelOf(LLAMA_8B);
    const one = await needsBytes(model, { slots: 1, contextPerSlot: 8192 });
    const four = await needsBytes(model, { slots: 4, contextPerSlot: 8192 });
    expect(one).toBeGreaterThan(WEIGHTS + 8192 * 131_072);
    expect(one).toBeLessThan(1.1 * (WEIGHTS + 8192 * 131_072) + 300e6);
    expect((four - one) / (3 * 8192 * 131_072)).toBeCloseTo(1, 1);
  });

  test('is that of the whole context unless a shorter one is asked for, and of no longer one than there is', async () => {
    const model = await modelOf(LLAMA_8B, { contextLength: 4096 });
    const whole = await needsBytes(model, { slots: 2 });
    expect(await needsBytes(model, { slots: 2, contextPerSlot: 1e9 })).toBe(whole);
    expect(await needsBytes(model, { slots: 2, contextPerSlot: 2048 })).toBeLessThan(whole);
  });

  test('is no cache for one that makes vectors', async () => {
    const model = (await openModelStore().locate('all-minilm-l6-v2'))!;
    const [few, many] = [await needsBytes(model, { slots: 1 }), await needsBytes(model, { slots: 64 })];
    expect(few).toBe(many);
    // With 4 slots a process took 256 MB.
    expect(few).toBeGreaterThan(256e6);
    expect(few).toBeLessThan(330e6);
  });

  test('is that of its size and a fifth where its file tells nothing', async () => {
    const unknown = await modelOf([]);
    expect(await needsBytes(unknown, { slots: 4 })).toBe(WEIGHTS * 1.2 + 230e6);
    for (const path of [folder.file('broken.gguf', 'GGUF'), join(folder.path, 'missing.gguf'), '/model.onnx']) {
      expect(await needsBytes({ ...unknown, path }, { slots: 4 })).toBe(WEIGHTS * 1.2 + 230e6);
    }
  });

  test('is none where another server has the model', async () => {
    expect(await needsBytes(await modelOf(LLAMA_8B, { path: '' }), { slots: 4 })).toBe(0);
  });
});

describe('the context that fits into a budget', () => {
  test.each([1, 4])('is the longest that does, with %d slots', async (slots) => {
    const model = await modelOf(LLAMA_8B);
    const budget = 12e9;
    const context = await contextWithin(model, slots, budget);
    expect(context % 256).toBe(0);
    expect(await needsBytes(model, { slots, contextPerSlot: context })).toBeLessThanOrEqual(budget);
    expect(await needsBytes(model, { slots, contextPerSlot: context + 256 })).toBeGreaterThan(budget);
  });

  test("is the model's own where there is room for it, and none where there is none", async () => {
    const model = await modelOf(LLAMA_8B, { contextLength: 5000 });
    expect(await contextWithin(model, 1, 1e12)).toBe(5000);
    expect(await contextWithin(model, 1, 4e9)).toBe(0);
  });
});
