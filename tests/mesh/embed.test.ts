/** Vectors of texts for clients, on real processes: by the model that comes with the project, and from the cache. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Code } from '../../proto/contract/faults.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';

const DIMENSIONS = 384;

let mesh: TestMesh;
beforeAll(async () => {
  mesh = await startMesh({ nodes: [{ engine: 'llama-cpp', model: 'all-minilm-l6-v2', slots: 2 }] });
});
afterEach(() => expectAtRest(mesh));
afterAll(() => mesh?.[Symbol.asyncDispose]());

const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);

describe('vectors of texts', () => {
  it('are near where the texts mean the same, and come from the cache the second time', async () => {
    const texts = ['How do I reset my password?', 'I forgot my password, what now?', 'The weather in Lisbon is mild.'];
    const first = await mesh.client.embed(texts);
    expect(first).toMatchObject({ model: 'all-minilm-l6-v2', dimensions: DIMENSIONS, cached: 0 });
    expect(first.modelDigest).toMatch(/^sha256:/);
    const [one, same, other] = first.vectors as [Float32Array, Float32Array, Float32Array];
    expect(dot(one, one)).toBeCloseTo(1, 5);
    expect(dot(one, same)).toBeGreaterThan(dot(one, other) + 0.3);

    const again = await mesh.client.embed([...texts, 'one more']);
    expect(again.cached).toBe(3);
    expect(again.vectors.slice(0, 3)).toEqual(first.vectors);
    expect((await mesh.client.embed(texts, { refresh: true })).cached).toBe(0);
  });

  it('of many texts, equal ones among them, come in their order', async () => {
    const texts = Array.from({ length: 150 }, (_, i) => `text number ${i % 100}`);
    const { vectors } = await mesh.client.embed(texts);
    expect(vectors).toHaveLength(150);
    expect(vectors[120]).toEqual(vectors[20]);
    const [alone] = (await mesh.client.embed(['text number 99'])).vectors as [Float32Array];
    expect(dot(alone, vectors[99] as Float32Array)).toBeGreaterThan(0.999);
  });

  it('by another model than the one in use are refused with its name', async () => {
    const refused = mesh.client.embed(['hello'], { model: 'another-model' });
    await expect(refused).rejects.toMatchObject({ code: Code.NOT_FOUND, reason: 'MODEL_NOT_FOUND' });
    expect((await mesh.client.embed(['hello'], { model: 'all-minilm-l6-v2' })).vectors).toHaveLength(1);
  });

  it.each([
    ['no texts', [], 'texts'],
    ['an empty text', ['a', ''], 'texts[1]'],
    ['too many', Array.from({ length: 1025 }, () => 'a'), 'texts'],
  ])('are refused for %s', async (_what, texts, field) => {
    await expect(mesh.client.embed(texts)).rejects.toMatchObject({ reason: 'INVALID_REQUEST', violations: [{ field }] });
  });
});

it('without a node that makes them there are none, and the status says that it may be tried again', async () => {
  await using own = await startMesh({ nodes: [{ engine: 'replay', model: 'canned' }] });
  await expect(own.client.embed(['hello'])).rejects.toMatchObject({ code: Code.UNAVAILABLE, reason: 'NO_NODE' });
});
