/** What a node can be told of its models: by flags, and by a file of them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nodeSettings } from '../../nodes/settings.ts';
import { bytesIn } from '../../proto/contract/settings.ts';
import { Tier } from '../../proto/gen/infermesh/v1/types.ts';

let folder: string;
let modelsFile: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'infermesh-models-'));
  modelsFile = join(folder, 'models.yaml');
});
afterEach(() => rmSync(folder, { recursive: true }));

const settings = (flags: object = {}, env = {}) => nodeSettings({ flags: { tokenFile: 'unread', ...flags }, env });

function fromFile(text: string, flags: object = {}) {
  writeFileSync(modelsFile, text);
  return settings({ modelsFile, ...flags }).models;
}

describe('the models of a node', () => {
  it('are the one that comes with the project, where nothing is said', () => {
    expect(settings().models).toMatchObject([{ model: 'stories-15m', engine: 'llama-cpp', slots: 4, onDemand: false }]);
  });

  it('are those of the flags, each with the settings of the others, and those on demand last', () => {
    const { models } = settings({ model: ['a', 'b'], onDemand: 'c,file:/d.gguf', slots: 2, asTier: 'quality' });
    expect(models.map(({ model, onDemand }) => [model, onDemand])).toEqual([
      ['a', false],
      ['b', false],
      ['c', true],
      ['file:/d.gguf', true],
    ]);
    for (const model of models) expect(model).toMatchObject({ slots: 2, asTier: Tier.TIER_QUALITY });
  });

  it('are those of a file, each with an engine and settings of its own, the flags for the rest', () => {
    const models = fromFile(
      `models:
  - { model: later, onDemand: true }
  - { model: stories-15m, slots: 8, threads: 1, asTier: balanced, watts: 3 }
  - { model: cloudy, engine: openai, openaiUrl: 'https://api.example/v1', openaiKeyEnv: KEY, inputPrice: 0.5 }
  - { model: fake, engine: replay, replay: 'rate=5' }`,
      { slots: 3, threads: 2 },
    );
    expect(models).toMatchObject([
      { model: 'stories-15m', slots: 8, threads: 1, asTier: Tier.TIER_BALANCED, watts: 3, engine: 'llama-cpp' },
      { model: 'cloudy', slots: 3, threads: 2, engine: 'openai', openaiKeyEnv: 'KEY', inputPrice: 0.5 },
      { model: 'fake', engine: 'replay', replay: 'rate=5', onDemand: false },
      { model: 'later', slots: 3, onDemand: true },
    ]);
  });
});

describe('settings of models are refused', () => {
  it.each([
    ['', /models\.yaml: models must be a list/],
    ['models: []', /models\.yaml: models must be 1 to 64/],
    ['models: 7', /models\.yaml: models must be a list, received 7/],
    ['models: [{ slots: 4 }]', /models\.yaml: models\[0\]\.model .*received nothing/],
    ['models: [{ model: a }, { model: b, slots: 0 }]', /models\[1\]\.slots must be a whole number from 1 to 16384, received 0/],
    ['models: [{ model: a, slotz: 4 }]', /models\.yaml: models\[0\]\.slotz is not a setting of a model/],
    ['models: [{ model: a }]\nmore: 1', /models\.yaml: more is not known here/],
    ['models: [{ model: a, engine: gpt }]', /models\[0\]\.engine must be llama-cpp/],
    ['models: [{ model: a, onDemand: perhaps }]', /models\[0\]\.onDemand must be true or false/],
    ['models: [{ model: ../a }]', /models\[0\]\.model must be the name of a model/],
    ['models: [{ model: a }, { model: a }]', /models\.yaml: a is there twice/],
    ['models: [{ model: a, engine: openai }]', /models\.yaml: a: --engine openai needs --openai-url/],
    ["models: [{ model: a, ollamaUrl: 'http://u:secret@x' }]", /\.ollamaUrl .*received "http:\/\/\.\.\.@x"/],
    ['models: [', /models\.yaml: line 1 is not YAML/],
  ])('%j in a file', (text, message) => {
    expect(() => fromFile(text)).toThrow(expect.objectContaining({ reason: 'INVALID_REQUEST' }));
    expect(() => fromFile(text)).toThrow(message);
  });

  it('where the file is not there, or flags name models too', () => {
    expect(() => settings({ modelsFile: join(folder, 'none.yaml') })).toThrow(/none\.yaml cannot be read \(ENOENT\)/);
    writeFileSync(modelsFile, 'models: [{ model: a }]');
    expect(() => settings({ modelsFile, model: 'b' })).toThrow(/--models-file and --model: give one of them/);
    expect(() => settings({ modelsFile }, { INFERMESH_ON_DEMAND: 'b' })).toThrow(/--models-file and --on-demand/);
  });

  it('where a model is there twice, or one server name stands for several', () => {
    expect(() => settings({ model: 'a,b', onDemand: 'a' })).toThrow(/--model, --on-demand: a is there twice/);
    const ollama = { engine: 'ollama', model: 'a,b', ollamaModel: 'x' };
    expect(() => settings(ollama)).toThrow(/--ollama-model is for one model, and there are 2: use --models-file/);
  });

  it.each(['0%', '101%', '6', '-1GB', '6 GBs', 'all'])('%j is no budget', (memoryBudget) => {
    expect(() => settings({ memoryBudget })).toThrow(/--memory-budget must be a share such as 80%, or a size such as 6GB/);
  });
});

it.each([
  ['80%', 800],
  ['12.5%', 125],
  ['6GB', 6e9],
  ['1.5 kB', 1500],
  ['2GiB', 2 ** 31],
])('of 1,000 bytes %s are %d', (amount, bytes) => {
  expect(settings({ memoryBudget: amount }).memoryBudget).toBe(amount);
  expect(bytesIn(amount, 1000)).toBe(bytes);
});
