/** Several versions of a model side by side, and files that an engine needs beside the weights. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { loadCatalogue } from '../../../nodes/models/catalogue.ts';
import { folderOf, weightsPath } from '../../../nodes/models/folder.ts';
import { processesUsing } from '../../../nodes/models/in-use.ts';
import type { ModelStore } from '../../../nodes/models/store.ts';
import { openModelStore } from '../../../nodes/models/store.ts';
import { writeCatalogue } from '../../support/catalogue.ts';
import { Folder } from '../../support/folder.ts';
import { ggufFile, LLAMA, number } from './gguf-file.ts';
import type { Registry } from './registry.ts';
import { startRegistry } from './registry.ts';

const NAME = 'versioned';
/** In 4 bits by its header, and of 200 tokens, where the catalogue's entry says Q8_0 and 256. */
const OLD = ggufFile({
  entries: LLAMA.map((entry) => (entry[0] === 'llama.context_length' ? number(entry[0], 200) : entry)),
  weights: Buffer.alloc(5000, 1),
});
const NEW = ggufFile({ weights: Buffer.alloc(6000, 2) });
const sha256 = (content: Buffer | string) => createHash('sha256').update(content).digest('hex');
const at = (content: Buffer, digits = 8) => `${NAME}@${sha256(content).slice(0, digits)}`;
const whole = (content: Buffer) => ({ digest: `sha256:${sha256(content)}`, sizeBytes: content.length });

let folder: Folder;
let root: string;
let store: ModelStore;
beforeEach(() => {
  folder = new Folder();
  root = join(folder.path, 'models');
});
afterEach(() => folder[Symbol.dispose]());

/** A store whose catalogue names this content. */
function catalogueOf(content: Buffer | undefined, entry: Record<string, unknown> = {}): ModelStore {
  const digest = content === undefined ? {} : { size_bytes: content.length, sha256: sha256(content) };
  const source = content === undefined ? 'hf:user/repo/model.gguf' : 'npm:model@1.0.0/model.part';
  const file = writeCatalogue(join(folder.path, 'catalogue.yaml'), { name: NAME, source, ...digest, ...entry });
  return openModelStore({ root, catalogue: loadCatalogue(file) });
}

async function put(content: Buffer, cameAt = new Date()): Promise<string> {
  const path = weightsPath(folderOf(root, NAME), sha256(content), 'gguf');
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
  await utimes(path, cameAt, cameAt);
  return path;
}

const listed = async () => (await store.list()).find(({ entry }) => entry.name === NAME)!;

describe('a model of which two versions lie here', () => {
  beforeEach(async () => {
    store = catalogueOf(NEW);
    await put(OLD);
    await put(NEW, new Date(Date.now() - 60_000));
  });

  test('is the one that the catalogue names, unless the other is asked for', async () => {
    expect(await store.locate(NAME)).toMatchObject(whole(NEW));
    expect(await store.locate(at(OLD))).toMatchObject({ name: NAME, ...whole(OLD) });
    expect(await store.pull(at(OLD, 64))).toMatchObject(whole(OLD));
    expect(await store.verify(`${NAME}@sha256:${sha256(OLD).slice(0, 12)}`)).toMatchObject(whole(OLD));
  });

  test('is what its own file says, where it is not the one that the catalogue describes', async () => {
    expect(await store.locate(NAME)).toMatchObject({ quantization: 'Q8_0', contextLength: 256 });
    expect(await store.locate(at(OLD))).toMatchObject({ quantization: 'Q4_K_M', contextLength: 200 });
  });

  test('is the one that came last where the catalogue names none', async () => {
    store = catalogueOf(undefined);
    expect(await store.locate(NAME)).toMatchObject(whole(OLD));
    expect((await listed()).versions.map(({ name, current }) => [name, current])).toEqual([
      [at(OLD), true],
      [at(NEW), false],
    ]);
  });

  test('tells both, and which of them its name means', async () => {
    expect(await listed()).toMatchObject({ state: 'present', bytes: NEW.length });
    expect((await listed()).versions).toContainEqual({
      name: at(OLD),
      digest: `sha256:${sha256(OLD)}`,
      bytes: OLD.length,
      current: false,
    });
    expect((await listed()).versions).toContainEqual(expect.objectContaining({ name: at(NEW), current: true }));
  });

  test('loses one of them, or all', async () => {
    await store.locate(at(OLD));
    await store.remove(at(OLD));
    expect((await readdir(join(root, NAME))).filter((file) => file.includes(sha256(OLD)))).toEqual([]);
    expect(await store.locate(NAME)).toMatchObject(whole(NEW));
    await put(OLD);
    await store.remove(NAME);
    expect(await readdir(root)).toEqual(['.locks']);
  });

  test('keeps the older one while it must be fetched again, and when it was damaged never repairs it with the newer', async () => {
    await store.remove(at(NEW));
    expect(await store.locate(NAME)).toBeUndefined();
    expect(await store.locate(at(NEW))).toBeUndefined();
    expect(await listed()).toMatchObject({ state: 'absent' });
    await writeFile(await put(OLD), 'damaged');
    await expect(store.pull(at(OLD))).rejects.toMatchObject({ reason: 'MODEL_UNAVAILABLE' });
  });

  test.each([
    [
      'no version has',
      'MODEL_NOT_FOUND',
      `${NAME}@00000000`,
      /no version here whose digest begins with 00000000; there is versioned@.* and versioned@/,
    ],
    ['are too few', 'INVALID_REQUEST', `${NAME}@123`, /8 to 64 hexadecimal digits/],
    ['are none', 'INVALID_REQUEST', `${NAME}@../../etc`, /8 to 64 hexadecimal digits/],
    ['are in upper case', 'INVALID_REQUEST', `${NAME}@ABCDEF0123`, /in lower case/],
    ['no model has', 'MODEL_NOT_FOUND', 'nothing@12345678', /catalogue has no model/],
  ])('is not found by digits that %s', async (_, reason, name, message) => {
    for (const call of ['locate', 'pull', 'verify', 'remove'] as const) {
      await expect(store[call](name)).rejects.toMatchObject({ reason, message: expect.stringMatching(message) });
    }
  });

  test('is not found by digits that fit several', async () => {
    const digits = '12345678';
    for (const rest of ['a', 'b']) await writeFile(weightsPath(folderOf(root, NAME), digits.padEnd(64, rest), 'gguf'), NEW);
    const refusal = {
      reason: 'INVALID_REQUEST',
      message: expect.stringMatching(/fits versioned@12345678([ab])\1+ and versioned@12345678(?!\1)[ab]+$/),
    };
    await expect(store.locate(`${NAME}@${digits}`)).rejects.toMatchObject(refusal);
    await expect(store.remove(`${NAME}@${digits}`)).rejects.toMatchObject(refusal);
  });
});

test('digits behind the name of a bundled model are compared with the digest that it has', async () => {
  store = openModelStore({ root });
  const { digest } = (await store.locate('stories-15m'))!;
  expect(await store.locate(`stories-15m@${digest.slice(7, 17)}`)).toMatchObject({ name: 'stories-15m', digest });
  await expect(store.locate('stories-15m@00000000')).rejects.toMatchObject({ reason: 'MODEL_NOT_FOUND' });
});

describe.skipIf(process.platform !== 'linux')('weights that a process has in memory', () => {
  test('are not removed unless somebody insists', async () => {
    store = catalogueOf(NEW);
    const path = await put(NEW);
    // What a process runs is mapped into it, as weights are.
    const program = await put(OLD);
    await copyFile(process.execPath, program);
    await chmod(program, 0o755);
    const child = spawn(program, ['-e', 'process.stdout.write("up"); setInterval(() => {}, 1000)'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(child, 'exit');
    await once(child.stdout, 'data');
    try {
      expect(await processesUsing([program])).toEqual([child.pid]);
      expect(await processesUsing([path])).toEqual([]);
      await expect(store.remove(NAME)).rejects.toMatchObject({
        reason: 'UNSUPPORTED',
        message: `${NAME} is in use: process ${child.pid} has it in memory; unload it there first`,
      });
      await store.remove(at(NEW));
      await store.remove(NAME, { force: true });
      expect(await readdir(root)).toEqual(['.locks']);
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
  });
});

describe('a model that needs more than its weights', () => {
  const WEIGHTS = Buffer.from('an ONNX model, of which nobody here looks at the inside');
  const TOKENIZER = '{"model": {}}';
  let registry: Registry;

  beforeEach(async () => {
    registry = await startRegistry();
    vi.stubEnv('npm_config_registry', registry.url);
    vi.stubEnv('npm_config_noproxy', '127.0.0.1');
    await registry.publish('weights', 'model.onnx', WEIGHTS);
    await registry.publish('tokenizer', 'tokenizer.json', Buffer.from(TOKENIZER));
    store = catalogueWith(sha256(TOKENIZER));
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await registry[Symbol.asyncDispose]();
  });

  const catalogueWith = (digest: string) =>
    catalogueOf(WEIGHTS, {
      source: 'npm:weights@1.0.0/model.onnx',
      files: { 'tokenizer.json': { source: 'npm:tokenizer@1.0.0/tokenizer.json', size_bytes: TOKENIZER.length, sha256: digest } },
    });

  test('is there with all of it, and fetched again as far as something is missing', async () => {
    const model = await store.pull(NAME);
    expect(model).toMatchObject({ ...whole(WEIGHTS), path: expect.stringMatching(/sha256-[0-9a-f]{64}\.onnx$/) });
    const tokenizer = model.files!['tokenizer.json']!;
    expect(tokenizer).toBe(join(root, NAME, `sha256-${sha256(TOKENIZER)}.tokenizer.json`));
    expect(await store.locate(NAME)).toEqual(model);
    expect(registry.requests).toEqual(['weights', 'tokenizer']);

    await writeFile(tokenizer, '{"model": []}');
    expect(await store.locate(NAME)).toBeUndefined();
    expect(await store.pull(NAME)).toEqual(model);
    expect(registry.requests).toEqual(['weights', 'tokenizer', 'tokenizer']);
    await store.remove(NAME);
    expect(await readdir(root)).toEqual(['.locks']);
  });

  test('is not there without it, and refused when it is another file', async () => {
    store = catalogueWith('0'.repeat(64));
    await expect(store.pull(NAME)).rejects.toMatchObject({
      reason: 'MODEL_UNAVAILABLE',
      message: expect.stringMatching(/came with a damaged tokenizer\.json/),
    });
    expect(await store.locate(NAME)).toBeUndefined();
  });
});
