import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { loadCatalogue } from '../../../nodes/models/catalogue.ts';
import type { PullProgress } from '../../../nodes/models/store.ts';
import { openModelStore } from '../../../nodes/models/store.ts';
import { writeCatalogue } from '../../support/catalogue.ts';
import { ggufFile } from './gguf-file.ts';

const WEIGHTS = ggufFile({ weights: randomBytes(200_000) });

let root: string;
let server: Server;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'infermesh-hf-'));
  // What Hugging Face answers: the file with ranges, 401 for gated weights, 404 for the rest.
  server = createServer((request, response) => {
    if (request.url?.startsWith('/user/gated/')) return response.writeHead(401).end();
    if (!request.url?.startsWith('/user/repo/resolve/main/tiny.gguf')) return response.writeHead(404).end();
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    const start = Number(from ?? 0);
    const end = to ? Number(to) + 1 : WEIGHTS.length;
    const body = WEIGHTS.subarray(start, end);
    const range = from === undefined ? {} : { 'content-range': `bytes ${start}-${start + body.length - 1}/${WEIGHTS.length}` };
    response.writeHead(from === undefined ? 200 : 206, { 'content-length': body.length, 'accept-ranges': 'bytes', ...range });
    return response.end(request.method === 'HEAD' ? undefined : body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  vi.stubEnv('HF_ENDPOINT', `http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  server.closeAllConnections();
  server.close();
  await rm(root, { recursive: true });
});

async function storeWith(source: string) {
  const file = writeCatalogue(join(root, 'catalogue.yaml'), { name: 'tiny', source });
  return openModelStore({ root: join(root, 'models'), catalogue: loadCatalogue(file) });
}

test('weights from Hugging Face are kept under the digest that they were found to have', async () => {
  const store = await storeWith('hf:user/repo/tiny.gguf');
  const seen: PullProgress[] = [];
  const model = await store.pull('tiny', { onProgress: (progress) => seen.push(progress) });
  expect(await readFile(model.path)).toEqual(WEIGHTS);
  expect(await store.locate('tiny')).toEqual(model);
  expect(seen).toContainEqual({ phase: 'downloading', downloadedBytes: WEIGHTS.length, totalBytes: WEIGHTS.length });
  expect(await readdir(join(root, 'models', 'tiny'))).toHaveLength(2);
});

test('weights from Hugging Face are held to the digest that they came with', async () => {
  const store = await storeWith('hf:user/repo/tiny.gguf');
  const model = await store.pull('tiny');
  expect(await store.verify('tiny')).toEqual(model);
  await writeFile(model.path, Buffer.concat([WEIGHTS, Buffer.from('more')]));
  await expect(store.locate('tiny')).rejects.toThrow('infermesh models pull tiny');
  expect(await store.pull('tiny')).toEqual(model);
  expect(await readFile(model.path)).toEqual(WEIGHTS);
});

test('weights that Hugging Face does not have, or gives only after a login, are refused in one line', async () => {
  const missing = await storeWith('hf:user/other/tiny.gguf');
  await expect(missing.pull('tiny')).rejects.toMatchObject({ reason: 'MODEL_NOT_FOUND' });
  const gated = await storeWith('hf:user/gated/tiny.gguf');
  await expect(gated.pull('tiny')).rejects.toMatchObject({ reason: 'MODEL_UNAVAILABLE' });
});

test('nothing that answers is told as such', async () => {
  vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:1/');
  const store = await storeWith('hf:user/repo/tiny.gguf');
  await expect(store.pull('tiny')).rejects.toMatchObject({ reason: 'UNREACHABLE' });
});
