/** The models that can be asked for by name: the ones infermesh comes with, and the operator's own over them. */
import { readFileSync } from 'node:fs';
import { basename, dirname, extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseDocument } from 'yaml';
import { EMBED_TASK } from '../../proto/contract/embedding.ts';
import type { Violation } from '../../proto/contract/faults.ts';
import { Fault, invalid } from '../../proto/contract/faults.ts';
import { Tier } from '../../proto/gen/infermesh/v1/types.ts';
import type { CatalogueEntry, CatalogueFile } from './schema.ts';
import { entrySchema, fileSchema, modelName, UNKNOWN } from './schema.ts';

export type { CatalogueEntry } from './schema.ts';

export interface Catalogue {
  readonly models: ReadonlyMap<string, CatalogueEntry>;
  /** Tier's name to model's name. */
  readonly defaults: CatalogueFile['defaults'];
}

const BUILT_IN = fileURLToPath(new URL('./catalogue.yaml', import.meta.url));

/**
 * @param operatorFile path of a YAML file of the same form; its entries replace ours of the same name
 * @throws Fault INVALID_REQUEST that lists every problem of the files as `file: field problem`, one a line
 */
export function loadCatalogue(operatorFile?: string): Catalogue {
  const problems: Violation[] = [];
  const files = [BUILT_IN, ...(operatorFile === undefined ? [] : [operatorFile])];
  const parsed = files.map((file) => readCatalogueFile(file, problems));
  const models = new Map(parsed.flatMap((file) => file?.models ?? []).map((entry) => [entry.name, entry]));
  const defaults = Object.assign({}, ...parsed.map((file) => file?.defaults ?? {})) as Catalogue['defaults'];
  if (problems.length === 0) problems.push(...missingDefaults(files.at(-1)!, defaults, models));
  if (problems.length > 0) {
    const lines = problems.map((problem) => `${problem.field} ${problem.description}`);
    throw new Fault('INVALID_REQUEST', lines.join('\n'), { violations: problems });
  }
  return { models, defaults };
}

function readCatalogueFile(path: string, problems: Violation[]): CatalogueFile | undefined {
  const file = basename(path);
  const problem = (field: string, description: string) => problems.push({ field: `${file}: ${field}`, description });
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    problem('the file', `cannot be read (${(error as NodeJS.ErrnoException).code})`);
    return undefined;
  }
  const document = parseDocument(text, { prettyErrors: false });
  const at = (offset: number) => text.slice(0, offset).split('\n').length;
  for (const error of document.errors) problem(`line ${at(error.pos[0])}`, `is not YAML: ${error.message}`);
  if (document.errors.length > 0) return undefined;

  const result = fileSchema.safeParse(document.toJS({ maxAliasCount: 100 }));
  for (const issue of result.error?.issues ?? []) problem(fieldOf(issue.path), withoutCapital(issue.message));
  if (!result.success) return undefined;
  reportTwins(result.data.models, problem);
  return { ...result.data, models: result.data.models.flatMap(withQuantizations) };
}

/** Each quantisation is a model of its own: it has another price in memory and time, and answers otherwise. */
function withQuantizations(entry: CatalogueEntry): CatalogueEntry[] {
  const others = Object.entries(entry.quantizations).map(([quantization, other]) => {
    const name = `${entry.name}-${quantization.toLowerCase()}`;
    const title = `${entry.title}, ${quantization}`;
    return { ...entry, sha256: undefined, ...other, name, title, quantization, quantizations: {}, variant_of: entry.name };
  });
  return [entry, ...others];
}

function reportTwins(models: readonly CatalogueEntry[], problem: (field: string, description: string) => void): void {
  const firstAt = new Map<string, string>();
  models.forEach((entry, index) => {
    const first = firstAt.get(entry.name);
    if (first === undefined) firstAt.set(entry.name, `repeats the name of models[${index}]`);
    else problem(`models[${index}].name`, first);
  });
  models.forEach((entry, index) => {
    for (const { name } of withQuantizations(entry).slice(1)) {
      const twin = models.findIndex((other) => other.name === name);
      if (twin >= 0) problem(`models[${twin}].name`, `is the name of a quantisation of models[${index}]`);
    }
  });
}

function missingDefaults(path: string, defaults: Catalogue['defaults'], models: Catalogue['models']): Violation[] {
  return Object.entries(defaults)
    .filter(([, name]) => !models.has(name))
    .map(([tier]) => ({
      field: `${basename(path)}: defaults.${tier}`,
      description: 'names a model that is not in the catalogue',
    }));
}

/**
 * Lets an operator serve a file without writing a catalogue: `file:/data/My Model.gguf` becomes the model my-model.
 * The path tells nothing else and the file's header only its context and quantisation, so the model counts as fast, good
 * for any task and of unknown licence; one in ONNX makes vectors, for ONNX Runtime does nothing else here.
 * @throws Fault INVALID_REQUEST when it isn't file:/ABSOLUTE/PATH
 */
export function entryOfFile(uri: string): CatalogueEntry {
  const name = nameOfFile(uri);
  const parsed = entrySchema.safeParse({
    name,
    title: name,
    family: UNKNOWN,
    parameters: 0,
    quantization: UNKNOWN,
    licence: 'LicenseRef-unknown',
    commercial_use: false,
    context_length: 131_072,
    tier: 'fast',
    tasks: isOnnx(uri) ? [EMBED_TASK] : [],
    memory_bytes: 0,
    source: uri,
  });
  if (parsed.data?.source.type === 'file') return parsed.data;
  throw invalid([{ field: 'model', description: 'must be a name of the catalogue or file:/ABSOLUTE/PATH' }]);
}

const isOnnx = (uri: string) => /\.onnx$/i.test(uri);

/** Hugging Face calls all its ONNX files alike, gte-small/onnx/model_quantized.onnx: the folder has the model's name. */
function namingPart(uri: string): string {
  const path = uri.slice('file:'.length);
  if (!isOnnx(uri) || !/^model(?:_[a-z0-9]+)?$/i.test(basename(path, extname(path)))) return path;
  const folder = dirname(path);
  return basename(folder) === 'onnx' ? dirname(folder) : folder;
}

function nameOfFile(uri: string): string {
  const stem = basename(namingPart(uri)).replace(/\.(?:gguf|onnx)$/i, '');
  const name = stem
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/\.{2,}/g, '.')
    .replace(/^[._-]+/, '')
    .slice(0, 64);
  return modelName.safeParse(name).success ? name : 'model';
}

/** The name of a tier as the catalogue and the command line write it. */
export function tierName(tier: Tier): string {
  switch (tier) {
    case Tier.TIER_FAST:
      return 'fast';
    case Tier.TIER_BALANCED:
      return 'balanced';
    case Tier.TIER_QUALITY:
      return 'quality';
    case Tier.TIER_CLOUD:
      return 'cloud';
    default:
      return 'unspecified';
  }
}

function fieldOf(path: readonly PropertyKey[]): string {
  const text = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  return text.replace(/^\./, '') || 'the file';
}

function withoutCapital(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1);
}
