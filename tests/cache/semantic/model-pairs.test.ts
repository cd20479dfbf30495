/** What the guard and the threshold make of the pairs, with the embedding model that comes with the project. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { MemoryIndex } from '../../../cache/semantic/memory-index.ts';
import { SemanticCache } from '../../../cache/semantic/semantic-cache.ts';
import { LlamaCppEmbeddings } from '../../../nodes/backends/llama-cpp-embeddings.ts';
import { NEVER, vectorsOf } from '../../contract/embeddings.ts';
import { loadOptions } from '../../contract/jobs.ts';
import { FakeClock, seeded } from '../../support/clock.ts';
import type { Pair } from './pairs.ts';
import { APART, FREE_NEAR, NEAR, SAME } from './pairs.ts';
import { prompt } from './prompts.ts';

const path = fileURLToPath(new URL('../../../nodes/models/bundled/all-minilm-l6-v2-q8_0.gguf', import.meta.url));
const MODEL = { name: 'all-minilm-l6-v2', digest: 'sha256:00', dimensions: 384 };
/** By which cache/semantic/README.md gives its figures. */
const SIMILARITY = 0.85;

/** Some hundred texts, on a machine that does other things too. */
vi.setConfig({ testTimeout: 120_000 });

const model = new LlamaCppEmbeddings();
beforeAll(() => model.load(loadOptions({ path, contextLength: 256, tasks: ['embed'] }), () => {}));
afterAll(() => model.dispose());

const vectors = new Map<string, Float32Array>();
async function vectorOf(text: string): Promise<Float32Array> {
  const known = vectors.get(text) ?? (vectorsOf(await model.embed([text], NEVER))[0] as Float32Array);
  vectors.set(text, known);
  return known;
}

/** Whether the second of a pair is given the answer to the first. */
async function isHit([first, second]: Pair): Promise<boolean> {
  await using cache = new SemanticCache({
    index: new MemoryIndex(new FakeClock()),
    clock: new FakeClock(),
    random: seeded(1),
    tell: () => {},
  });
  const [a, b] = [first, second].map((text) => cache.ask(prompt(text, { model: MODEL })));
  if (!a || !b) return false;
  await cache.add(a, await vectorOf(a.text), Buffer.from('answer'), 1000);
  return (await cache.find(b, await vectorOf(b.text), { similarity: SIMILARITY })).hit !== undefined;
}

async function hitsAmong(pairs: readonly Pair[]): Promise<Pair[]> {
  const hits: Pair[] = [];
  for (const pair of pairs) if (await isHit(pair)) hits.push(pair);
  return hits;
}

describe('with all-minilm-l6-v2, reuse', () => {
  test('has no false hit among pairs that are near each other or apart', async () => {
    expect(await hitsAmong([...NEAR, ...FREE_NEAR, ...APART])).toEqual([]);
    expect(await hitsAmong([...NEAR, ...FREE_NEAR, ...APART].map(([a, b]): Pair => [b, a]))).toEqual([]);
  });

  test('has a hit for at least 4 of 5 pairs that ask the same in other words', async () => {
    expect((await hitsAmong(SAME)).length / SAME.length).toBeGreaterThanOrEqual(0.8);
  });
});
