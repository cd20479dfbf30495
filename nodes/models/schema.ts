/** What a catalogue file may say, and the entry that it becomes. */
import { z } from 'zod';
import { CLASSIFY_TASK } from '../../proto/contract/classes.ts';
import { EMBED_TASK } from '../../proto/contract/embedding.ts';
import { Tier } from '../../proto/gen/infermesh/v1/types.ts';
import type { Source } from './source.ts';
import { formatOf, parseSource } from './source.ts';

/** A name is only ever a name: it becomes a folder, so nothing in it can mean another place. */
export const modelName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'must be 1 to 64 of a-z, 0-9, dot, dash and underscore, beginning with a letter or digit')
  .refine((name) => !name.includes('..'), 'must not contain ..');

const TIERS = {
  fast: Tier.TIER_FAST,
  balanced: Tier.TIER_BALANCED,
  quality: Tier.TIER_QUALITY,
  cloud: Tier.TIER_CLOUD,
} as const;
export const tierSchema = z
  .enum(['fast', 'balanced', 'quality', 'cloud'], { error: 'must be fast, balanced, quality or cloud' })
  .transform((name): Tier => TIERS[name]);

/** Family and quantisation of a file that nobody has described. */
export const UNKNOWN = 'unknown';

const sentence = z.string().min(1).max(200);
const usd = z.number().min(0).max(10_000);
const bytes = z.number().int().min(1).max(1e13);

const source = z.union([z.string(), z.array(z.string())]).transform((text, context): Source => {
  const parsed = parseSource(text);
  if (typeof parsed !== 'string') return parsed;
  context.addIssue({ code: 'custom', message: parsed });
  return z.NEVER;
});

const weights = source.refine((from) => formatOf(from) !== undefined, 'must be a .gguf or .onnx');
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hexadecimal digits');

/** A file beside the weights, such as the tokenizer of an ONNX model. */
const besideSchema = z.strictObject({
  source: source.refine(({ type }) => type === 'npm' || type === 'hf', 'must be npm: or hf:'),
  size_bytes: bytes,
  sha256,
});
const besideName = z.string().regex(/^[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)+$/, 'must be a name such as tokenizer.json');

/** Another quantisation of the same model. */
const quantizationSchema = z.strictObject({
  source: weights,
  size_bytes: bytes,
  memory_bytes: bytes,
  sha256: sha256.optional(),
});
const quantizationName = z.string().regex(/^[A-Z0-9_]{2,16}$/, 'must be a name such as Q8_0');

export const entrySchema = z
  .strictObject({
    name: modelName,
    title: sentence,
    family: sentence,
    /** How many weights; 0: not known. */
    parameters: z.number().min(0).max(1e13),
    quantization: sentence,
    /** SPDX identifier, LicenseRef-NAME where SPDX has none. */
    licence: z.string().regex(/^[A-Za-z0-9.+-]{1,64}$/, 'must be an SPDX identifier, or LicenseRef-NAME where SPDX has none'),
    commercial_use: z.boolean(),
    context_length: z.number().int().min(16).max(10_000_000),
    tier: tierSchema,
    /** Empty: good for anything; `embed` alone: it makes vectors of texts; `classify`: it tells classes of them. */
    tasks: z
      .array(z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, 'must be a lower-case word'))
      .max(16)
      .refine(
        (tasks) => tasks.length === 1 || !(tasks.includes(EMBED_TASK) || tasks.includes(CLASSIFY_TASK)),
        'must have embed or classify alone: such a model can do nothing else',
      ),
    /** Memory to serve it with one slot and 4,096 tokens of context, or all it has; 0: not known. */
    memory_bytes: z.number().int().min(0).max(1e13),
    price: z
      .strictObject({ input_usd_per_million: usd, output_usd_per_million: usd })
      .default({ input_usd_per_million: 0, output_usd_per_million: 0 }),
    source: weights,
    /** What the engine needs beside the weights, by the name under which it looks for it. */
    files: z.record(besideName, besideSchema).default({}),
    /** How its prompts are put together, for people; the engine takes the template of the file. */
    prompt_format: sentence.optional(),
    /** Exact when sha256 is given, rounded otherwise. */
    size_bytes: bytes.optional(),
    sha256: sha256.optional(),
    /** Beside the one above; each becomes a model of its own, NAME-q8_0 for Q8_0. */
    quantizations: z.record(quantizationName, quantizationSchema).default({}),
  })
  .superRefine((entry, context) => {
    const fetched = entry.source.type === 'npm' || entry.source.type === 'bundled';
    if (fetched && entry.sha256 === undefined) {
      context.addIssue({ code: 'custom', path: ['sha256'], message: 'must be given for bundled: and npm: sources' });
    }
    if (Object.keys(entry.files).length > 0 && entry.source.type !== 'npm' && entry.source.type !== 'hf') {
      context.addIssue({ code: 'custom', path: ['files'], message: 'must stand beside an npm: or hf: source' });
    }
    if (entry.sha256 !== undefined && entry.size_bytes === undefined) {
      context.addIssue({ code: 'custom', path: ['size_bytes'], message: 'must be given, exactly, beside a sha256' });
    }
  });

export const fileSchema = z.strictObject({
  defaults: z.strictObject({ fast: modelName, balanced: modelName, quality: modelName, cloud: modelName }).partial().default({}),
  models: z.array(entrySchema).max(1000),
});

export type CatalogueFile = z.infer<typeof fileSchema>;
export type CatalogueEntry = z.infer<typeof entrySchema> & {
  /** The model that this is another quantisation of. */
  readonly variant_of?: string;
};
