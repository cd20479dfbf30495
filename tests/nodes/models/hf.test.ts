import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { loadCatalogue } from '../../../nodes/models/catalogue.ts';
import type { ModelStore, PullProgress } from '../../../nodes/models/store.ts';
import { openModelStore } from '../../../nodes/models/store.ts';
import { writeCatalogue } from '../../support/catalogue.ts';
import { Folder } from '../../support/folder.ts';
import { ggufFile } from './gguf-file.ts';
import type { HuggingFace } from './hugging-face.ts';
import { startHuggingFace } from './hugging-face.ts';

const PULL_PROCESS = new URL('./pull-process.ts', import.meta.url).pathname;
const NAME = 'tiny';
const WEIGHTS = ggufFile({ weights: randomBytes(200_000) });
const NEWER = ggufFile({ weights: randomBytes(210_000) });
const sha256 = (content: Buffer) => createHash('sha256').update(content).digest('hex');

let folder: Folder;
let root: string;
let server: HuggingFace;
let store: ModelStore;
beforeEach(async () => {
  folder = new Folder();
  root = join(folder.path, 'models');
  server = await startHuggingFace(WEIGHTS);
  vi.stubEnv('HF_ENDPOINT', server.url);
  vi.stubEnv('HF_TOKEN', '');
  vi.stubEnv('HF_HOME', folder.path);
  store = storeOf({});
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await server[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

function storeOf(entry: Record<string, unknown>): ModelStore {
  const file = writeCatalogue(join(folder.path, 'catalogue.yaml'), { name: NAME, source: 'hf:user/repo/tiny.gguf', ...entry });
  return openModelStore({ root, catalogue: loadCatalogue(file) });
}

const refusal = (reason: string, message: RegExp) => ({ reason, message: expect.stringMatching(message) });
const files = async () => (await readdir(join(root, NAME))).sort();
const pulled = (content: Buffer) => [`sha256-${sha256(content)}.gguf`, `sha256-${sha256(content)}.verified`];

describe('weights from Hugging Face', () => {
  test('are kept under the digest that they have, and nothing else is left', async () => {
    const seen: PullProgress[] = [];
    const model = await store.pull(NAME, { onProgress: (progress) => seen.push(progress) });
    expect(await readFile(model.path)).toEqual(WEIGHTS);
    expect(await store.locate(NAME)).toEqual(model);
    expect(seen).toContainEqual({ phase: 'downloading', downloadedBytes: WEIGHTS.length, totalBytes: WEIGHTS.length });
    expect(await files()).toEqual(pulled(WEIGHTS));
    expect(server.requests).toEqual(['HEAD hub', 'GET hub', 'GET store']);
  });

  test('are held to the digest that they came with', async () => {
    const model = await store.pull(NAME);
    expect(await store.verify(NAME)).toEqual(model);
    await writeFile(model.path, Buffer.concat([WEIGHTS, Buffer.from('more')]));
    await expect(store.locate(NAME)).rejects.toThrow('infermesh models pull tiny');
    expect(await store.pull(NAME)).toEqual(model);
    expect(await readFile(model.path)).toEqual(WEIGHTS);
  });

  test('come from a mirror without a store behind it, which tells no digest, too', async () => {
    Object.assign(server.wrong, { direct: true, silent: true });
    expect(await readFile((await store.pull(NAME)).path)).toEqual(WEIGHTS);
  });

  test('are asked for with the token of this machine, which the store behind is not told', async () => {
    await writeFile(join(folder.path, 'token'), 'hf_secret\n');
    await store.pull(NAME);
    expect(server.authorizations).toEqual(['hub Bearer hf_secret', 'hub Bearer hf_secret']);
    expect(server.requests).toContain('GET store');
  });

  test('stay as they are until somebody asks for newer ones, which lie beside the older', async () => {
    const older = await store.pull(NAME);
    server.put(NEWER);
    expect(await store.pull(NAME)).toEqual(older);
    expect(await store.pull(NAME, { refresh: true })).toMatchObject({ digest: `sha256:${sha256(NEWER)}` });
    expect(await store.locate(NAME)).toMatchObject({ digest: `sha256:${sha256(NEWER)}` });
    expect(await store.locate(`${NAME}@${sha256(WEIGHTS).slice(0, 8)}`)).toEqual(older);
    expect(await files()).toEqual([...pulled(WEIGHTS), ...pulled(NEWER)].sort());
  });

  test('are not fetched again where the newest are here, and are the current ones then', async () => {
    await store.pull(NAME);
    server.put(NEWER);
    await store.pull(NAME, { refresh: true });
    server.put(WEIGHTS);
    const asked = server.requests.length;
    expect(await store.pull(NAME, { refresh: true })).toMatchObject({ digest: `sha256:${sha256(WEIGHTS)}` });
    expect(server.requests.slice(asked)).toEqual(['HEAD hub']);
  });
});

describe('a pull from Hugging Face goes on where it stopped', () => {
  test('when the connection broke', async () => {
    server.wrong.cutAfter = 100_000;
    expect(await readFile((await store.pull(NAME)).path)).toEqual(WEIGHTS);
    const resumed = Number(/bytes=(\d+)-$/.exec(server.requests.at(-1)!)?.[1]);
    expect(resumed).toBeGreaterThan(0);
    expect(resumed).toBeLessThanOrEqual(100_000);
  });

  test('when its process was killed', async () => {
    server.wrong.holdAfter = 50_000;
    const child = spawn(process.execPath, [PULL_PROCESS, root, join(folder.path, 'catalogue.yaml'), NAME], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const ended = once(child, 'exit');
    await server.held();
    await expect.poll(async () => (await store.list()).find(({ entry }) => entry.name === NAME)?.bytes).toBe(50_000);
    child.kill('SIGKILL');
    await ended;

    server.wrong.holdAfter = undefined;
    expect(await readFile((await store.pull(NAME)).path)).toEqual(WEIGHTS);
    expect(server.requests.at(-1)).toBe('GET store bytes=50000-');
    expect(await files()).toEqual(pulled(WEIGHTS));
  });

  test('from the beginning where the store knows no ranges', async () => {
    Object.assign(server.wrong, { cutAfter: 100_000, noRanges: true });
    expect(await readFile((await store.pull(NAME)).path)).toEqual(WEIGHTS);
  });

  test('but never with the rest of another file', async () => {
    server.wrong.holdAfter = 50_000;
    const controller = new AbortController();
    const stopped = expect(store.pull(NAME, { signal: controller.signal })).rejects.toMatchObject({ reason: 'CANCELLED' });
    await server.held();
    controller.abort();
    await stopped;
    server.put(NEWER);
    server.wrong.holdAfter = undefined;
    expect(await readFile((await store.pull(NAME)).path)).toEqual(NEWER);
    expect(await files()).toEqual(pulled(NEWER));
  });

  test('and ends when the file changes while it runs', async () => {
    Object.assign(server.wrong, { cutAfter: 50_000, thenPut: NEWER });
    await expect(store.pull(NAME)).rejects.toMatchObject(
      refusal('MODEL_UNAVAILABLE', /changed it while it was fetched; pull again/),
    );
    expect(await files()).toEqual([]);
  });
});

describe('a server that lies is found out:', () => {
  const wrongBytes = Buffer.from(WEIGHTS);
  wrongBytes[1000]! ^= 1;

  test.each<[string, HuggingFace['wrong'], RegExp]>([
    ['other bytes than it named the digest of', { other: wrongBytes }, /came damaged: their digest/],
    ['fewer bytes than it told', { size: WEIGHTS.length + 1 }, /gives \d+ bytes instead of/],
    ['more bytes than it told', { size: WEIGHTS.length - 1 }, /gives \d+ bytes instead of/],
    ['bytes without end', { endless: true }, /sends more than it told/],
    ['no size at all', { silent: true }, /does not tell how large it is/],
    ['a size that is none', { size: -1 }, /does not tell how large it is/],
    ['a page in place of the weights', { other: Buffer.alloc(WEIGHTS.length, '<html>'), sha256: 'tag' }, /not a GGUF file/],
    ['a way to a file of this machine', { location: 'file:///etc/passwd' }, /redirects to a place with file:/],
    ['a way to nowhere', { location: 'http://' }, /redirects to nowhere/],
    ['a way back to itself', { location: '/user/repo/resolve/main/tiny.gguf' }, /redirects without end/],
  ])('%s', async (_, wrong, message) => {
    Object.assign(server.wrong, wrong);
    await expect(store.pull(NAME)).rejects.toMatchObject(refusal('MODEL_UNAVAILABLE', message));
    expect(await files()).toEqual([]);
    expect(await store.locate(NAME)).toBeUndefined();
  });

  test('another file than the catalogue names, before any of it is fetched', async () => {
    store = storeOf({ size_bytes: WEIGHTS.length, sha256: sha256(NEWER) });
    await expect(store.pull(NAME)).rejects.toMatchObject(refusal('MODEL_UNAVAILABLE', /offers others than the catalogue names/));
    store = storeOf({ size_bytes: NEWER.length, sha256: sha256(NEWER) });
    await expect(store.pull(NAME)).rejects.toMatchObject(refusal('MODEL_UNAVAILABLE', /offers \d+ bytes instead of \d+/));
    expect(server.requests).toEqual(['HEAD hub', 'HEAD hub']);
  });

  test('more bytes than the disk has, before any of it is fetched', async () => {
    server.wrong.size = 1e15;
    await expect(store.pull(NAME)).rejects.toMatchObject(refusal('MODEL_UNAVAILABLE', /tiny needs 1,000,000,000 MB .* are free/));
    expect(server.requests).toEqual(['HEAD hub']);
  });
});

describe('weights are not written through a link', () => {
  test('that stands where a pull puts them together', async () => {
    server.wrong.holdAfter = 50_000;
    const controller = new AbortController();
    const stopped = expect(store.pull(NAME, { signal: controller.signal })).rejects.toMatchObject({ reason: 'CANCELLED' });
    await server.held();
    controller.abort();
    await stopped;
    server.wrong.holdAfter = undefined;
    const [partial] = await files();
    const outside = folder.file('outside', 'untouched');
    await rm(join(root, NAME, partial!));
    await symlink(outside, join(root, NAME, partial!));
    await expect(store.pull(NAME)).rejects.toMatchObject(refusal('MODEL_UNAVAILABLE', /cannot be written \(ELOOP\)/));
    expect(await readFile(outside, 'utf8')).toBe('untouched');
  });

  test('that stands where the model has its folder', async () => {
    await mkdir(root, { recursive: true });
    await symlink(folder.path, join(root, NAME));
    await expect(store.pull(NAME)).rejects.toMatchObject(refusal('MODEL_UNAVAILABLE', /is a link/));
  });
});

test('weights that Hugging Face does not have, or gives only after a login, are refused in one line', async () => {
  const missing = storeOf({ source: 'hf:user/other/tiny.gguf' });
  await expect(missing.pull(NAME)).rejects.toMatchObject({ reason: 'MODEL_NOT_FOUND' });
  const gated = storeOf({ source: 'hf:user/gated/tiny.gguf' });
  await expect(gated.pull(NAME)).rejects.toMatchObject(refusal('MODEL_UNAVAILABLE', /asks for a login/));
});

test('nothing that answers is told as such', async () => {
  vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:1/');
  await expect(store.pull(NAME)).rejects.toMatchObject({ reason: 'UNREACHABLE' });
});
