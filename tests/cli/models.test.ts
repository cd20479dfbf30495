import { expect, test } from 'vitest';
import { writeCatalogue } from '../support/catalogue.ts';
import { Folder } from '../support/folder.ts';
import { events, infermesh } from './run.ts';

test('models verify takes a version of a model by the beginning of its digest', async () => {
  const version = await infermesh(['models', 'verify', 'stories-15m@6b64a54f']);
  expect(version).toMatchObject({ code: 0, stdout: expect.stringMatching(/is whole/) });

  const noVersion = await infermesh(['models', 'verify', 'stories-15m@00000000']);
  expect(noVersion).toMatchObject({ code: 1, stderr: expect.stringMatching(/no version here .* there is stories-15m@6b64a54f/) });
});

test('models verify --all hashes all that is here, tells what is damaged, and fails for it', async () => {
  using folder = new Folder();
  const damaged = folder.file('damaged.gguf', 'no longer a model');
  const env = {
    INFERMESH_MODELS: folder.path,
    INFERMESH_CATALOGUE: writeCatalogue(`${folder.path}/mine.yaml`, { name: 'mine', source: `file:${damaged}` }),
  };
  const { code, stdout } = await infermesh(['models', 'verify', '--all', '--json'], { env });
  expect(code).toBe(1);
  const told = events(stdout).filter(({ event }) => event === 'verified' || event === 'damaged');
  expect(told.map(({ event, name }) => `${event} ${name}`)).toEqual([
    'verified stories-15m',
    'verified all-minilm-l6-v2',
    'damaged mine',
  ]);
  expect((await infermesh(['models', 'verify'], { env })).code).toBe(2);
});

test('models shows other quantisations only when asked, and programs all of them', async () => {
  const env = { INFERMESH_MODELS: '/nonexistent/models' };
  expect((await infermesh(['models'], { env })).stdout).not.toContain('mistral-7b-instruct-q8_0');
  expect((await infermesh(['models', 'list', '--all'], { env })).stdout).toContain('mistral-7b-instruct-q8_0');
  expect((await infermesh(['models', '--json'], { env })).stdout).toContain('mistral-7b-instruct-q8_0');
});
