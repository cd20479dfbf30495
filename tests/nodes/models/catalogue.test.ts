import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { entryOfFile, loadCatalogue } from '../../../nodes/models/catalogue.ts';
import { modelName } from '../../../nodes/models/schema.ts';
import { formatOf, parseSource } from '../../../nodes/models/source.ts';
import type { Fault } from '../../../proto/contract/faults.ts';
import { Tier } from '../../../proto/gen/infermesh/v1/types.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'infermesh-catalogue-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function problemsOf(yaml: string): Promise<string[]> {
  const file = join(folder, 'mine.yaml');
  await writeFile(file, yaml);
  try {
    loadCatalogue(file);
    return [];
  } catch (error) {
    return (error as Fault).message.split('\n');
  }
}

const SPDX = ['Apache-2.0', 'MIT'];
/** How many bits a weight may take, all in all. */
const BITS: Readonly<Record<string, readonly [number, number]>> = {
  IQ2_XXS: [2, 3],
  Q4_K_M: [4.5, 8.1],
  INT8: [8, 9],
  Q8_0: [8, 11.2],
  F32: [31, 33],
};

const MINE = `
models:
  - name: mine
    title: Mine
    family: llama
    parameters: 1e9
    quantization: Q4_K_M
    licence: LicenseRef-Mine
    commercial_use: false
    context_length: 4096
    tier: quality
    tasks: [summarize]
    memory_bytes: 1e9
    source: file:/data/mine.gguf
`;

describe('the catalogue', () => {
  test('has a model that runs with no network, and one for each local tier', () => {
    const { models, defaults } = loadCatalogue();
    expect(models.get('stories-15m')).toMatchObject({
      source: { type: 'bundled' },
      tasks: ['story'],
      price: { input_usd_per_million: 0 },
    });
    expect(models.get(defaults.fast!)).toMatchObject({ source: { type: 'npm' }, tasks: [], tier: Tier.TIER_FAST });
    expect(models.get(defaults.balanced!)!.tier).toBe(Tier.TIER_BALANCED);
    expect(models.get(defaults.quality!)).toMatchObject({
      name: 'mistral-7b-instruct',
      tier: Tier.TIER_QUALITY,
      licence: 'Apache-2.0',
    });
  });

  test('has a model that makes vectors and runs with no network', () => {
    expect(loadCatalogue().models.get('all-minilm-l6-v2')).toMatchObject({
      source: { type: 'bundled' },
      tasks: ['embed'],
      licence: 'Apache-2.0',
      commercial_use: true,
    });
  });

  test.each([...loadCatalogue().models.values()].map((entry) => [entry.name, entry] as const))(
    'has an entry of %s that is whole, and plausible in itself',
    (_, entry) => {
      const { tasks, licence, parameters, quantization, size_bytes: size = 0, memory_bytes: memory, source } = entry;
      expect(parameters).toBeGreaterThan(0);
      expect(['FAST', 'BALANCED', 'QUALITY'].map((tier) => Tier[`TIER_${tier}` as keyof typeof Tier])).toContain(entry.tier);
      // A weight takes from 2 to 32 bits, by what its quantisation says; embeddings and norms are kept finer.
      const bits = (size * 8) / parameters;
      const [least, most] = BITS[quantization] ?? [Number.NaN, Number.NaN];
      expect(bits).toBeGreaterThan(least);
      expect(bits).toBeLessThan(most);
      // Weights, an engine, and the cache of a few thousand tokens.
      expect(memory).toBeGreaterThan(size + (source.type === 'npm' && formatOf(source) === 'onnx' ? 50e6 : 200e6));
      expect(memory).toBeLessThan(2 * size + 500e6);
      if (tasks.length === 0) expect(entry.prompt_format).toBeDefined();
      if (!SPDX.includes(licence)) expect(licence).toMatch(/^LicenseRef-/);
      // What may not be sold must say so; of what was not written for everybody we know who may.
      expect(entry.commercial_use).toBe(licence !== 'LicenseRef-Qwen-Research');
    },
  );

  test('has the models that it promises, in 4 bits unless something else is asked for', () => {
    const { models } = loadCatalogue();
    const promised = ['mistral-7b', 'llama-3.1-8b', 'llama-3.2-1b', 'llama-3.2-3b', 'qwen2.5-0.5b', 'qwen2.5-1.5b', 'qwen2.5-3b'];
    for (const name of [...promised, 'qwen2.5-7b'].map((each) => `${each}-instruct`).concat('phi-3-mini', 'gemma-2-9b')) {
      expect(models.get(name)).toMatchObject({ quantization: 'Q4_K_M', source: { type: 'hf' }, tasks: [] });
    }
    expect([...models.values()].filter(({ tasks }) => tasks.includes('embed')).length).toBeGreaterThan(4);
  });

  test('makes a model of its own of each quantisation', () => {
    const { models } = loadCatalogue();
    const [four, eight] = [models.get('mistral-7b-instruct')!, models.get('mistral-7b-instruct-q8_0')!];
    expect(eight).toMatchObject({ quantization: 'Q8_0', variant_of: 'mistral-7b-instruct', context_length: four.context_length });
    expect(eight.size_bytes).toBeGreaterThan(four.size_bytes!);
    expect(eight.source).not.toEqual(four.source);
    expect(four.variant_of).toBeUndefined();
  });

  test('refuses a quantisation that takes the name of another model', async () => {
    const other = '    quantizations: { Q8_0: { source: file:/data/q8.gguf, size_bytes: 1e9, memory_bytes: 2e9 } }\n';
    expect(await problemsOf(MINE + other + MINE.replace('\nmodels:', '').replace('name: mine', 'name: mine-q8_0'))).toEqual([
      'mine.yaml: models[1].name is the name of a quantisation of models[0]',
    ]);
    expect(await problemsOf(MINE + other.replace('Q8_0', '"../x"'))).toEqual([
      expect.stringContaining('mine.yaml: models[0].quantizations'),
    ]);
  });

  test('knows no model that makes vectors and answers too', async () => {
    const alone = 'mine.yaml: models[0].tasks must have embed or classify alone: such a model can do nothing else';
    for (const task of ['embed', 'classify']) {
      expect(await problemsOf(MINE.replace('tasks: [summarize]', `tasks: [summarize, ${task}]`))).toEqual([alone]);
    }
    expect(await problemsOf(MINE.replace('tasks: [summarize]', 'tasks: [embed]'))).toEqual([]);
  });

  test("takes an operator's entries beside its own, and over its own where the name is the same", async () => {
    const file = join(folder, 'mine.yaml');
    await writeFile(file, MINE + MINE.replace('\nmodels:', '').replace('name: mine', 'name: gemma-2-9b'));
    const { models } = loadCatalogue(file);
    expect(models.get('mine')).toMatchObject({ tier: Tier.TIER_QUALITY, source: { type: 'file', path: '/data/mine.gguf' } });
    expect(models.get('gemma-2-9b')!.title).toBe('Mine');
    expect(models.has('stories-15m')).toBe(true);
  });

  test('tells every problem of a file at once, by file and field', async () => {
    const yaml = MINE.replace('tier: quality', 'tier: best')
      .replace('context_length: 4096', 'context_length: 0')
      .replace('name: mine', 'name: ../mine');
    const problems = await problemsOf(`${yaml}    sha256: ABC\n    colour: red\n`);
    expect(problems.map((line) => line.split(' ').slice(0, 2).join(' ')).sort()).toEqual([
      'mine.yaml: models[0]',
      'mine.yaml: models[0].context_length',
      'mine.yaml: models[0].name',
      'mine.yaml: models[0].name',
      'mine.yaml: models[0].sha256',
      'mine.yaml: models[0].tier',
    ]);
  });

  test('refuses two entries of one name, and a default that it does not have', async () => {
    expect(await problemsOf(MINE + MINE.replace('\nmodels:', ''))).toEqual([
      'mine.yaml: models[1].name repeats the name of models[0]',
    ]);
    expect(await problemsOf(`defaults: { cloud: nothing }${MINE}`)).toEqual([
      'mine.yaml: defaults.cloud names a model that is not in the catalogue',
    ]);
  });

  test('says where a file is not YAML, and that one is missing', async () => {
    expect((await problemsOf('models:\n  - name: [a\n'))[0]).toMatch(/^mine\.yaml: line \d is not YAML/);
    expect(() => loadCatalogue(join(folder, 'nothing.yaml'))).toThrow('nothing.yaml: the file cannot be read (ENOENT)');
  });

  test('demands a digest for what it names by npm', async () => {
    const problems = await problemsOf(MINE.replace('file:/data/mine.gguf', 'npm:some-package@1.0.0/model.part'));
    expect(problems).toEqual(['mine.yaml: models[0].sha256 must be given for bundled: and npm: sources']);
  });
});

describe('a name', () => {
  test.each(['..', 'a..b', '../a', 'a/b', 'a\\b', '/etc/passwd', 'https://a', '', '.hidden', 'A', 'a b', 'a\0', 'a'.repeat(65)])(
    'is never %j',
    (name) => expect(modelName.safeParse(name).success).toBe(false),
  );

  test.each([
    ['file:/data/My Model.Q4_K_M.gguf', 'my-model.q4_k_m'],
    ['file:///data/tiny.gguf', 'tiny'],
    ['file:/data/...gguf', 'model'],
    ['file:/data/Minilm.onnx', 'minilm'],
    ['file:/data/gte-small/onnx/model_quantized.onnx', 'gte-small'],
    ['file:/data/gte-small/model.onnx', 'gte-small'],
    ['file:/model.onnx', 'model'],
  ])('is made from %j', (uri, name) => expect(entryOfFile(uri).name).toBe(name));

  test('says of weights in ONNX that they make vectors', () => {
    expect(entryOfFile('file:/data/minilm.onnx').tasks).toEqual(['embed']);
    expect(entryOfFile('file:/data/minilm.gguf').tasks).toEqual([]);
  });

  test('is not made from a relative path', () => {
    expect(() => entryOfFile('file:tiny.gguf')).toThrow('must be a name of the catalogue or file:/ABSOLUTE/PATH');
  });
});

describe('a source', () => {
  test.each([
    ['bundled:a.gguf', { type: 'bundled', file: 'a.gguf' }],
    [
      'npm:@scope/a@1.2.3-rc.1/x/model.part',
      { type: 'npm', parts: [{ packageName: '@scope/a', version: '1.2.3-rc.1', file: 'x/model.part' }] },
    ],
    ['hf:user/repo/a.gguf', { type: 'hf', repository: 'user/repo', file: 'a.gguf', branch: 'main' }],
    ['hf:user/repo/x/a.gguf#v2', { type: 'hf', repository: 'user/repo', file: 'x/a.gguf', branch: 'v2' }],
    ['file:/a b.gguf', { type: 'file', path: '/a b.gguf' }],
  ])('is read from %j', (text, source) => expect(parseSource(text)).toEqual(source));

  test.each([
    'bundled:../a.gguf',
    'npm:a@^1.0.0/f',
    'npm:a@1.0.0/../f',
    'hf:user/../a.gguf',
    'https://a/b.gguf',
    'file:a.gguf',
    '',
  ])('is never %j', (text) => expect(parseSource(text)).toBeTypeOf('string'));
});
