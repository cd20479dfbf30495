import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { withLock } from '../../../nodes/models/lock.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'infermesh-lock-'));
  path = join(folder, 'lock');
});
afterEach(() => rm(folder, { recursive: true }));

const hold = (host: string, pid: number) => writeFile(path, JSON.stringify({ id: 'other', pid, host }));

test('one at a time works under the lock, and it is gone afterwards, also after a failure', async () => {
  let inside = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, ++inside);
    await new Promise(setImmediate);
    inside--;
  };
  await Promise.all([1, 2, 3, 4].map(() => withLock(path, {}, work)));
  await expect(withLock(path, {}, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  expect(most).toBe(1);
  expect(await readdir(folder)).toEqual([]);
});

test('a lock of a process that is gone is taken away', async () => {
  await hold(hostname(), 2 ** 22 + 1); // Beyond the greatest process id of Linux.
  expect(await withLock(path, {}, async () => 'done')).toBe('done');
});

test('a lock that nobody touched for long is taken away, whoever holds it', async () => {
  await hold('another-machine', 1);
  const longAgo = new Date(Date.now() - 60_000);
  await utimes(path, longAgo, longAgo);
  expect(await withLock(path, {}, async () => 'done')).toBe('done');
});

test("another machine's fresh lock is waited for, until the caller gives up", async () => {
  await hold('another-machine', 1);
  const controller = new AbortController();
  const waited = withLock(path, { signal: controller.signal, onWait: () => controller.abort() }, async () => 'done');
  await expect(waited).rejects.toMatchObject({ reason: 'CANCELLED' });
});

test('work ends when somebody else has taken the lock', async () => {
  const work = async (signal: AbortSignal) => {
    await hold('another-machine', 1);
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    throw signal.reason;
  };
  await expect(withLock(path, {}, work)).rejects.toThrow('another process took over');
  expect(await readdir(folder)).toEqual(['lock']);
});
