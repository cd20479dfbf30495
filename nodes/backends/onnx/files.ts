/**
 * What lies beside an ONNX model's weights and tells how to use them. Fetched models bring it in `ModelSpec.files`; for
 * a file of the operator's own it is looked for beside the weights and one folder above, as Hugging Face lays it out.
 */
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { ModelSpec } from '../backend.ts';
import { unusable } from '../gguf.ts';
import type { Classes } from './classes.ts';
import type { Pooling } from './pooling.ts';

/** Vocabularies of 250,000 tokens take some 20 MB. */
const MOST_BYTES = 64 * 2 ** 20;
/** What says "no limit", or cannot be meant. */
const NO_LIMIT = 1e9;
const LEAST_TOKENS = 8;
/** Attention of texts beyond that takes hundreds of megabytes a text. */
const MOST_TOKENS = 2048;
/** What most of these models read, where nothing says what this one does. */
const USUAL_TOKENS = 512;
/** They are said in answers. */
const MOST_LABEL_CHARACTERS = 256;

export interface ModelFiles {
  readonly tokenizer: string;
  readonly tokenizerConfig: object;
  readonly pooling: Pooling;
  /** Of a model that tells classes. */
  readonly classes: Classes | undefined;
  /** Tokens, those that the model itself puts around a text with them. */
  readonly contextSize: number;
}

const tokenizerConfigSchema = z.looseObject({ model_max_length: z.number().optional() });
const configSchema = z.looseObject({
  model_type: z.string().optional(),
  max_position_embeddings: z.number().optional(),
  pad_token_id: z.number().nullish(),
  id2label: z.record(z.string(), z.string().max(MOST_LABEL_CHARACTERS)).optional(),
  problem_type: z.string().nullish(),
});
const poolingSchema = z.record(z.string(), z.unknown());
const POOLINGS: Readonly<Record<string, Pooling>> = {
  pooling_mode_mean_tokens: 'mean',
  pooling_mode_cls_token: 'first',
  pooling_mode_lasttoken: 'last',
};

/** @throws Fault ENGINE_FAILED that names the file, and what is wrong with it */
export async function readModelFiles(spec: ModelSpec): Promise<ModelFiles> {
  if ((await sizeOf(spec.path)) === undefined) throw unusable(spec.path, 'there is no such file');
  if (/\.gguf$/i.test(spec.path))
    throw unusable(spec.path, 'it is GGUF, which --engine llama-cpp reads; an ONNX model ends in .onnx');
  const tokenizer = await read(spec, ['tokenizer.json']);
  if (tokenizer === undefined) {
    throw unusable(
      spec.path,
      'there is no tokenizer.json beside it or one folder above; an ONNX model needs the one it came with',
    );
  }
  const tokenizerConfig = parse(
    spec,
    'tokenizer_config.json',
    tokenizerConfigSchema,
    await read(spec, ['tokenizer_config.json']),
  );
  const config = parse(spec, 'config.json', configSchema, await read(spec, ['config.json']));
  const pooling = await read(spec, ['1_Pooling/config.json', 'pooling.json']);
  return {
    tokenizer,
    tokenizerConfig: tokenizerConfig ?? {},
    pooling: poolingOf(spec, parse(spec, '1_Pooling/config.json', poolingSchema, pooling)),
    classes: config && classesOf(config),
    contextSize: contextSizeOf(spec, tokenizerConfig?.model_max_length, config),
  };
}

function classesOf({ id2label, problem_type: kind }: z.infer<typeof configSchema>): Classes | undefined {
  if (id2label === undefined) return undefined;
  const labels = Object.keys(id2label).map((_, index) => id2label[index]);
  if (!labels.every((label) => label !== undefined)) return undefined;
  return { labels, independent: kind === 'multi_label_classification' };
}

/** Sentence transformers take the mean where they say nothing. */
function poolingOf(spec: ModelSpec, told: z.infer<typeof poolingSchema> = {}): Pooling {
  const asked = Object.keys(told).filter((name) => name.startsWith('pooling_mode_') && told[name] === true);
  const [only = 'pooling_mode_mean_tokens'] = asked;
  const pooling = asked.length > 1 ? undefined : POOLINGS[only];
  if (pooling !== undefined) return pooling;
  const known = Object.keys(POOLINGS).join(', ');
  throw unusable(spec.path, `its 1_Pooling/config.json asks for a pooling that is not one of ${known}`);
}

/** The least that anyone tells: the catalogue, the tokenizer, the model. */
function contextSizeOf(
  { contextLength, files }: ModelSpec,
  tokenizerLimit: number | undefined,
  config: z.infer<typeof configSchema> | undefined,
): number {
  // Models after RoBERTa count positions from behind the number of their filling token.
  const offset = config?.model_type === 'roberta' || config?.model_type === 'xlm-roberta' ? (config.pad_token_id ?? 1) + 1 : 0;
  const limits = [tokenizerLimit, config?.max_position_embeddings && config.max_position_embeddings - offset];
  const told = limits.filter((limit): limit is number => limit !== undefined && limit >= LEAST_TOKENS && limit < NO_LIMIT);
  // Of a file that is in no catalogue nobody else has told it either.
  const otherwise = told.length > 0 || files ? MOST_TOKENS : USUAL_TOKENS;
  return Math.floor(Math.min(contextLength || MOST_TOKENS, ...told, otherwise));
}

function parse<T>(spec: ModelSpec, name: string, schema: z.ZodType<T>, text: string | undefined): T | undefined {
  if (text === undefined) return undefined;
  const parsed = schema.safeParse(jsonOf(text));
  if (parsed.success) return parsed.data;
  throw unusable(spec.path, `the ${name} beside it is not what it should be; fetch it again`);
}

/** @returns undefined for what is no JSON */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @returns the first of the names that is there */
async function read(spec: ModelSpec, names: readonly string[]): Promise<string | undefined> {
  const folder = dirname(spec.path);
  for (const name of names) {
    const places = spec.files ? [spec.files[name]] : [join(folder, name), join(dirname(folder), name)];
    for (const path of places) {
      const size = path === undefined ? undefined : await sizeOf(path);
      if (path === undefined || size === undefined) continue;
      if (size > MOST_BYTES)
        throw unusable(spec.path, `the ${name} beside it has ${size} bytes, and at most ${MOST_BYTES} are read`);
      return readFile(path, 'utf8');
    }
  }
  return undefined;
}

async function sizeOf(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() ? found.size : undefined;
}
