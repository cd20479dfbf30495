/** The onnx backend on ONNX Runtime: the bundled model's weights in ONNX, and small models made to be difficult. */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { LlamaCppEmbeddings } from '../../../nodes/backends/llama-cpp-embeddings.ts';
import { OnnxEmbeddings } from '../../../nodes/backends/onnx.ts';
import { createEngine } from '../../../nodes/engine/index.ts';
import { engineReport } from '../../../nodes/engine/report.ts';
import { dot, embeddingContract, NEVER, subjectOf, vectorsOf } from '../../contract/embeddings.ts';
import { loadOptions } from '../../contract/jobs.ts';
import { Folder } from '../../support/folder.ts';
import type { Graph } from '../../support/onnx/graph.ts';
import { FLOAT } from '../../support/onnx/graph.ts';
import { MINILM_GGUF, writeMiniLm } from '../../support/onnx/minilm.ts';
import type { SmallModel } from '../../support/onnx/small.ts';
import { perToken, ROWS, writeSmall } from '../../support/onnx/small.ts';

const installed = (await engineReport()).some(({ engine, available }) => engine === 'onnx' && available);
if (!installed) test.skip('ONNX Runtime is an optional package, and it is not installed here');

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());
/** Loads of this path share one file. */
const path = installed ? await writeMiniLm(folder.path) : '';
const options = (file = path) => loadOptions({ path: file, contextLength: 256, tasks: ['embed'] });

async function opened(file = path): Promise<OnnxEmbeddings & { readonly model: Awaited<ReturnType<OnnxEmbeddings['load']>> }> {
  const backend = new OnnxEmbeddings();
  const model = await backend.load(options(file), () => {});
  return Object.assign(backend, { model });
}

async function embedded(file: string, ...texts: string[]): Promise<readonly Float32Array[]> {
  await using backend = disposing(await opened(file));
  return vectorsOf(await backend.embed(texts, NEVER));
}

const disposing = <T extends { dispose(): Promise<void> }>(backend: T) =>
  Object.assign(backend, { [Symbol.asyncDispose]: () => backend.dispose() });

describe.runIf(installed)('vectors by ONNX Runtime', () => {
  embeddingContract('in this process', opened, 5);
  embeddingContract('in a child process', () => subjectOf(createEngine('onnx', options())), 5);

  test('are those of llama.cpp with the same weights', async () => {
    await using onnx = disposing(await opened());
    await using llama = disposing(new LlamaCppEmbeddings());
    await llama.load(loadOptions({ path: MINILM_GGUF, contextLength: 256, tasks: ['embed'] }), () => {});
    const theirs = await llama.embed(TEXTS, NEVER);
    const ours = await onnx.embed(TEXTS, NEVER);
    const cosines = vectorsOf(ours).map((vector, i) => dot(vector, vectorsOf(theirs)[i] as Float32Array));
    expect(Math.min(...cosines)).toBeGreaterThan(0.999);
    // Who pays by tokens pays the same at either.
    expect(ours).toMatchObject({ inputTokens: theirs.type === 'vectors' && theirs.inputTokens });
  });

  test('tell what made them', async () => {
    await using backend = disposing(await opened());
    expect(backend.model).toMatchObject({
      engine: 'onnx',
      engineVersion: expect.stringMatching(/^\d+\.\d+\.\d+ (cpu|cuda)$/),
      contextLength: 256,
      embeddingDimensions: 384,
      tokenizerDigest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      gpuShare: 0,
    });
  });
});

const TEXTS = [
  'What is the capital of France?',
  'How do I sort a list in Python?',
  'The quick brown fox jumps over the lazy dog.',
  'Die Katze sitzt auf dem Dach und schaut in den Regen.',
  'Café au lait, crème brûlée — 12,50 € (sans service)',
  'x = [i ** 2 for i in range(10)]',
  'supercalifragilisticexpialidocious',
  'It looks like a [SEP] or a [CLS], and is none.',
  'a text that is rather longer than the others: '.repeat(12),
];

const small = (name: string, model?: SmallModel) => writeSmall(join(folder.path, name), model);

/** The biggest token of a whole batch shows in all its vectors, as the one scale of a batch does with weights of 8 bits. */
function acrossTexts(graph: Graph, ids: string, rows: string): void {
  const biggest = graph.node('ReduceMax', [graph.node('Cast', [ids], { to: FLOAT })], { keepdims: 0 });
  perToken(graph, ids, graph.node('Add', [rows, biggest]));
}

describe.runIf(installed)('a model in ONNX', () => {
  test('is pooled as the file beside it says, else by the mean over its tokens', async () => {
    const pooling = (mode: string) => ({ '1_Pooling/config.json': JSON.stringify({ [mode]: true }) });
    const [mean] = await embedded(small('mean'), 'red red');
    const [first] = await embedded(small('first', { files: pooling('pooling_mode_cls_token') }), 'red red');
    const [last] = await embedded(small('last', { files: pooling('pooling_mode_lasttoken') }), 'red red');
    expect([...(first ?? [])]).toEqual([0, 0, 1, 0, 0, 0, 0]);
    expect([...(last ?? [])]).toEqual([0, 0, 0, 1, 0, 0, 0]);
    const length = Math.hypot(1, 1, 2);
    expect([...(mean ?? [])]).toEqual([0, 0, 1, 1, 2, 0, 0].map((value) => expect.closeTo(value / length, 6)));
  });

  test('that pools by itself is taken at its word', async () => {
    const build = (graph: Graph, ids: string, rows: string) => {
      perToken(graph, ids, rows);
      graph.node('ReduceMax', [rows, graph.integers([1])], { keepdims: 0 }, 'sentence_embedding');
      graph.output('sentence_embedding', FLOAT, ['batch', ROWS]);
    };
    const [vector] = await embedded(small('pools', { build }), 'red red');
    const length = Math.sqrt(3);
    expect([...(vector ?? [])]).toEqual([0, 0, 1, 1, 1, 0, 0].map((value) => expect.closeTo(value / length, 6)));
  });

  test('whose vectors depend on what else is in the batch reads one text at a time', async () => {
    const file = small('across', { build: acrossTexts });
    await using backend = disposing(await opened(file));
    const alone = vectorsOf(await backend.embed(['red'], NEVER));
    const together = vectorsOf(await backend.embed(['red', 'blue green', 'blue'], NEVER));
    expect(together[0]).toEqual(alone[0]);
  });

  test('without a mask reads one text at a time where filling would show', async () => {
    const spread = (graph: Graph, ids: string, rows: string) =>
      perToken(graph, ids, graph.node('Add', [rows, graph.node('ReduceMean', [rows, graph.integers([1])])]));
    await using backend = disposing(await opened(small('unmasked', { build: spread, inputs: ['input_ids'] })));
    const alone = vectorsOf(await backend.embed(['red'], NEVER));
    expect(vectorsOf(await backend.embed(['red', 'green green blue'], NEVER))[0]).toEqual(alone[0]);
  });

  test('takes for text what a user spells like a token of its own', async () => {
    const [spelled, unknown] = await embedded(small('special'), '[SEP]', 'sep ? !');
    expect(spelled).toEqual(unknown);
  });

  test('fails the text that it cannot read, and no other', async () => {
    await using backend = disposing(await opened(small('beyond')));
    const [broken, whole] = await Promise.all([backend.embed(['red beyond'], NEVER), backend.embed(['red green'], NEVER)]);
    expect(broken).toMatchObject({ type: 'failure', reason: 'ENGINE_FAILED', message: expect.not.stringContaining('beyond') });
    expect(vectorsOf(whole)).toHaveLength(1);
  });

  test('is found with the files that were fetched for it, and with no others', async () => {
    const file = small('named');
    const backend = new OnnxEmbeddings();
    const files = { 'tokenizer.json': join(dirname(file), 'tokenizer.json') };
    const model = { ...options(file).model, contextLength: 1024, files };
    // Whoever named the files for the catalogue knows the context as well.
    expect(await backend.load({ ...options(file), model }, () => {})).toMatchObject({ contextLength: 1024 });
    await backend.dispose();
    await expect(new OnnxEmbeddings().load({ ...options(file), model: { ...model, files: {} } }, () => {})).rejects.toThrow(
      'there is no tokenizer.json',
    );
  });

  test('reads no more than the least of what is said of its context, and what most can where nobody says', async () => {
    const contextOf = async (name: string, contextLength: number, files: Readonly<Record<string, string>>) => {
      const backend = new OnnxEmbeddings();
      const at = options(small(name, { files }));
      const { contextLength: served } = await backend.load({ ...at, model: { ...at.model, contextLength } }, () => {});
      await backend.dispose();
      return served;
    };
    const tokenizer = (limit: number) => ({ 'tokenizer_config.json': JSON.stringify({ model_max_length: limit }) });
    const config = (positions: number, more = {}) => ({
      'config.json': JSON.stringify({ max_position_embeddings: positions, ...more }),
    });
    expect(await contextOf('catalogue', 64, tokenizer(128))).toBe(64);
    expect(await contextOf('tokenizer', 131_072, { ...tokenizer(128), ...config(256) })).toBe(128);
    expect(await contextOf('positions', 131_072, { ...tokenizer(1e30), ...config(256) })).toBe(256);
    expect(await contextOf('roberta', 131_072, config(514, { model_type: 'roberta', pad_token_id: 1 }))).toBe(512);
    expect(await contextOf('nobody', 131_072, {})).toBe(512);
    expect(await contextOf('none', 131_072, { ...tokenizer(-1), ...config(0) })).toBe(512);
    expect(await contextOf('most', 131_072, { ...tokenizer(1e6), ...config(8192) })).toBe(2048);
  });
});

describe.runIf(installed)('a file that is no model of texts', () => {
  const nothing = (graph: Graph, _ids: string, rows: string) => {
    graph.node('Mul', [rows, graph.floats(new Float32Array([0]))], {}, 'last_hidden_state');
    graph.output('last_hidden_state', FLOAT, ['batch', 'tokens', ROWS]);
  };
  const logits = (graph: Graph, _ids: string, rows: string) => {
    graph.node('ReduceSum', [rows, graph.integers([1])], { keepdims: 0 }, 'logits');
    graph.output('logits', FLOAT, ['batch', ROWS]);
  };
  const cutShort = () => {
    const file = small('cut');
    truncateSync(file, 100);
    return file;
  };
  const noText = () => {
    const file = small('page');
    writeFileSync(file, '<html>Not found</html>');
    return file;
  };
  const refused: [string, () => string, string][] = [
    ['that is not there', () => join(folder.path, 'nowhere.onnx'), 'there is no such file'],
    ['for llama.cpp', () => MINILM_GGUF, '--engine llama-cpp reads'],
    ['cut short', cutShort, 'fetch it again'],
    ['that is a web page', noText, 'fetch it again'],
    ['without a tokenizer', () => small('bare', { files: { 'tokenizer.json': '' } }), 'tokenizer.json beside it is damaged'],
    [
      'with half a tokenizer',
      () => small('half', { files: { 'tokenizer.json': '{"model":{}}' } }),
      'tokenizer.json beside it is damaged',
    ],
    ['with a config of another kind', () => small('config', { files: { 'config.json': '[1]' } }), 'config.json beside it is not'],
    [
      'with a pooling that is not known',
      () => small('max', { files: { '1_Pooling/config.json': '{"pooling_mode_max_tokens":true}' } }),
      'a pooling that is not one of',
    ],
    [
      'with two poolings',
      () => {
        const both = '{"pooling_mode_mean_tokens":true,"pooling_mode_cls_token":true}';
        return small('both', { files: { '1_Pooling/config.json': both } });
      },
      'a pooling that is not one of',
    ],
    [
      'that wants pictures',
      () => small('pictures', { inputs: ['input_ids', 'pixel_values'] }),
      'its inputs are ["input_ids","pixel_values"]',
    ],
    ['that classifies', () => small('classes', { build: logits }), 'its outputs are ["logits"]'],
    ['whose vectors are 0', () => small('zero', { build: nothing }), '0 or no number'],
  ];

  test.each(refused)('%s ends with ENGINE_FAILED that says so', async (_, make, words) => {
    const fault = await new OnnxEmbeddings().load(options(make()), () => {}).catch((error: unknown) => error);
    expect(fault).toMatchObject({ reason: 'ENGINE_FAILED', message: expect.stringContaining(words) });
  });

  test('is refused or read, whichever of its bytes are changed', async () => {
    const file = small('mutated', { build: acrossTexts });
    const whole = readFileSync(file);
    const change = fc.tuple(fc.nat(whole.length - 1), fc.nat(255));
    const changes = fc.array(change, { minLength: 1, maxLength: 4 });
    const end = async () => {
      const backend = new OnnxEmbeddings();
      const loaded = await backend.load(options(file), () => {}).catch((error: unknown) => error);
      const embedding = loaded instanceof Error ? undefined : await backend.embed(['red', 'green blue'], NEVER);
      await backend.dispose();
      return embedding?.type ?? (loaded as { readonly reason?: string }).reason;
    };
    const holds = async (mutations: readonly (readonly [number, number])[]) => {
      const bytes = Buffer.from(whole);
      for (const [at, value] of mutations) bytes[at] = value;
      writeFileSync(file, bytes);
      expect(['ENGINE_FAILED', 'vectors', 'failure']).toContain(await end());
    };
    await fc.assert(fc.asyncProperty(changes, holds), { numRuns: 60, seed: 6 });
  });

  test('fails the load of its engine, and this process lives', async () => {
    const engine = createEngine('onnx', options(cutShort()));
    await expect(engine.start()).rejects.toMatchObject({ reason: 'ENGINE_FAILED' });
    expect(engine.state.type).toBe('disposed');
    await engine.dispose();
  });
});
