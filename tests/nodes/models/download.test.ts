import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { RangeResponse } from '../../../nodes/models/sources/download.ts';
import { download } from '../../../nodes/models/sources/download.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'infermesh-download-'));
  path = join(folder, 'file.partial');
});
afterEach(() => rm(folder, { recursive: true }));

const signal = new AbortController().signal;
const onBytes = () => {};

function answer(status: number, headers: Record<string, string>, body: string): RangeResponse {
  const chunks = (async function* () {
    yield Buffer.from(body);
  })();
  return { status, headers: { get: (name) => headers[name] ?? null }, body: chunks };
}

const httpError = (statusCode: number) => Object.assign(new Error(`HTTP ${statusCode}`), { statusCode });

test('a file that is already whole is left as it is', async () => {
  await writeFile(path, 'whole');
  await download({ path, signal, onBytes, request: () => Promise.reject(httpError(416)) });
  expect(await readFile(path, 'utf8')).toBe('whole');
});

test('a busy server is asked again, a refusal is final', async () => {
  const replies = [() => Promise.reject(httpError(503)), async () => answer(200, { 'content-length': '4' }, 'data')];
  await download({ path, signal, onBytes, request: () => replies.shift()!() });
  expect(await readFile(path, 'utf8')).toBe('data');

  let asked = 0;
  const request = () => {
    asked++;
    return Promise.reject(httpError(403));
  };
  await expect(download({ path, signal, onBytes, request })).rejects.toMatchObject({ statusCode: 403 });
  expect(asked).toBe(1);
});

test('another range than was asked for is not written', async () => {
  await writeFile(path, 'ab');
  const replies = [answer(206, { 'content-range': 'bytes 3-3/4' }, 'd'), answer(206, { 'content-range': 'bytes 2-3/4' }, 'cd')];
  await download({ path, signal, onBytes, request: async () => replies.shift()! });
  expect(await readFile(path, 'utf8')).toBe('abcd');
});

test.skipIf(process.platform !== 'linux')('a full disk is told at once, as what it is', async () => {
  let asked = 0;
  const request = async () => {
    asked++;
    return answer(200, { 'content-length': '4' }, 'data');
  };
  await expect(download({ path: '/dev/full', signal, onBytes, request })).rejects.toMatchObject({ code: 'ENOSPC' });
  expect(asked).toBe(1);
});
