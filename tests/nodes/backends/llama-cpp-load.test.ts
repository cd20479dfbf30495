import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createEngine } from '../../../nodes/engine/index.ts';
import { loadOptions } from '../../contract/jobs.ts';

const bundled = fileURLToPath(new URL('../../../nodes/models/bundled/stories-15m-q8_0.gguf', import.meta.url));
let folder: string;
let weights: Buffer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'infermesh-load-'));
  weights = await readFile(bundled);
});
afterAll(() => rm(folder, { recursive: true }));

const damages: [string, RegExp, () => Uint8Array][] = [
  ['an empty file', /only 0 bytes; fetch it again/, () => Buffer.alloc(0)],
  ['a web page', /not a GGUF file/, () => Buffer.from(`<html>${'not found '.repeat(50)}</html>`)],
  [
    'a file of version 99',
    /GGUF version is 99/,
    () => Buffer.concat([Buffer.from('GGUF'), Uint8Array.of(99), weights.subarray(5, 5000)]),
  ],
  [
    'half a file',
    /it is cut short: it has \d+ bytes, and its tensors reach to \d+; fetch it again/,
    () => weights.subarray(0, weights.length / 2),
  ],
  ['a file cut in its vocabulary', /it is cut short or corrupt/, () => weights.subarray(0, 20_000)],
  [
    'a file with a broken header',
    /it is cut short or corrupt/,
    () => Buffer.concat([weights.subarray(0, 24), Buffer.alloc(400, 0xff), weights.subarray(424)]),
  ],
  [
    'a sound file that the engine does not know',
    /unknown model architecture.*truncated or corrupt: check its digest/,
    () => Buffer.from(weights.toString('latin1').replaceAll('llama', 'lemma'), 'latin1'),
  ],
];

test.each(damages)('%s is refused for good with a message that says what to do', async (_, message, damaged) => {
  const path = join(folder, 'damaged.gguf');
  await writeFile(path, damaged());
  const engine = createEngine('llama-cpp', loadOptions({ path }));
  await expect(engine.start()).rejects.toMatchObject({ reason: 'ENGINE_FAILED', message: expect.stringMatching(message) });
  expect(engine.state).toEqual({ type: 'disposed' });
  await engine.dispose();
});

test('a missing file is refused by name', async () => {
  const path = join(folder, 'missing.gguf');
  await expect(createEngine('llama-cpp', loadOptions({ path })).start()).rejects.toThrow(
    `cannot load ${path}: there is no such file`,
  );
});

test('a model that makes vectors is not served as one that answers', async () => {
  const path = fileURLToPath(new URL('../../../nodes/models/bundled/all-minilm-l6-v2-q8_0.gguf', import.meta.url));
  const engine = createEngine('llama-cpp', loadOptions({ path }));
  await expect(engine.start()).rejects.toMatchObject({
    reason: 'ENGINE_FAILED',
    message: `cannot load ${path}: it makes vectors of texts and answers nothing; name it in a catalogue of yours, with tasks: [embed]`,
  });
  await engine.dispose();
});

test('half a file of a model that makes vectors is refused too', async () => {
  const path = join(folder, 'damaged.gguf');
  await writeFile(path, weights.subarray(0, weights.length / 2));
  const engine = createEngine('llama-cpp', loadOptions({ path, tasks: ['embed'] }));
  await expect(engine.start()).rejects.toMatchObject({
    reason: 'ENGINE_FAILED',
    message: expect.stringMatching(/it is cut short/),
  });
  await engine.dispose();
});
