/** A disk that is full in the middle of a pull: said as what it is, and gone on with when there is room. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { loadCatalogue } from '../../../nodes/models/catalogue.ts';
import { openModelStore } from '../../../nodes/models/store.ts';
import { writeCatalogue } from '../../support/catalogue.ts';
import { Folder } from '../../support/folder.ts';
import { ggufFile } from './gguf-file.ts';
import { startHuggingFace } from './hugging-face.ts';

const DISK_BYTES = 512 << 10;
const WEIGHTS = ggufFile({ weights: Buffer.alloc(300 << 10, 7) });

const folder = new Folder();
const root = join(folder.path, 'models');

/** A disk of half a megabyte. @returns why there can be none */
function mountDisk(): string | undefined {
  mkdirSync(root);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'none', root], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'no small disk can be mounted here: that wants Linux, root and CAP_SYS_ADMIN';
  }
}

const noDisk = mountDisk();
beforeAll(() => {
  vi.stubEnv('HF_TOKEN', '');
});
afterAll(() => {
  vi.unstubAllEnvs();
  if (noDisk === undefined) execFileSync('umount', [root]);
  folder[Symbol.dispose]();
});

test('a disk that fills up while weights come ends the pull, and the next one goes on', async ({ skip }) => {
  skip(noDisk !== undefined, noDisk);
  await using server = await startHuggingFace(WEIGHTS);
  vi.stubEnv('HF_ENDPOINT', server.url);
  const file = writeCatalogue(join(folder.path, 'catalogue.yaml'), { name: 'tiny', source: 'hf:user/repo/tiny.gguf' });
  const store = openModelStore({ root, catalogue: loadCatalogue(file) });
  const filler = join(root, 'filler');
  const fill = () => writeFileSync(filler, Buffer.alloc(300 << 10));
  const pulled = store.pull('tiny', { onProgress: ({ phase }) => phase === 'downloading' && fill() });
  await expect(pulled).rejects.toMatchObject({
    reason: 'MODEL_UNAVAILABLE',
    message: expect.stringMatching(/is full, and tiny is not whole; free some/),
  });
  expect(await store.locate('tiny')).toBeUndefined();

  rmSync(filler);
  expect(await readFile((await store.pull('tiny')).path)).toEqual(WEIGHTS);
  expect(server.requests.at(-1)).toMatch(/^GET store bytes=\d+-$/);
});
