/** The file of --models-file: a node's models, each with settings of its own where they differ from the node's. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import type { Violation } from '../proto/contract/faults.ts';
import { invalid } from '../proto/contract/faults.ts';
import { shownValue, toggle } from '../proto/contract/settings.ts';
import { modelSetting, modelShape } from './model-settings.ts';

export const MOST_MODELS = 64;

const entry = z.strictObject({
  ...withoutDefaults(modelShape),
  model: modelSetting,
  onDemand: toggle().optional(),
});
const file = z.strictObject({
  models: z.array(entry, 'must be a list').min(1, `must be 1 to ${MOST_MODELS}`).max(MOST_MODELS, `must be 1 to ${MOST_MODELS}`),
});

/** What is not given is as the node's own settings say. */
export type ModelEntry = Readonly<z.infer<typeof entry>>;

/** @throws Fault INVALID_REQUEST that names every problem with its file, entry and field */
export function readModelsFile(path: string): readonly ModelEntry[] {
  const name = basename(path);
  const content = contentOf(path, name);
  const parsed = file.safeParse(content);
  if (parsed.success) return parsed.data.models;
  throw invalid(parsed.error.issues.flatMap((issue) => violationsOf(issue, content, name)));
}

function contentOf(path: string, name: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw problem(name, `cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  const document = parseDocument(text, { prettyErrors: false });
  const [broken] = document.errors;
  if (broken) throw problem(`${name}: line ${text.slice(0, broken.pos[0]).split('\n').length}`, `is not YAML: ${broken.message}`);
  try {
    return document.toJS({ maxAliasCount: 100 }) ?? {};
  } catch {
    throw problem(name, 'has too many aliases');
  }
}

function violationsOf(issue: z.core.$ZodIssue, content: unknown, name: string): Violation[] {
  const at = (path: readonly PropertyKey[]) => `${name}: ${fieldOf(path)}`;
  if (issue.code === 'unrecognized_keys') {
    const description = issue.path.length === 0 ? 'is not known here; there is models alone' : 'is not a setting of a model';
    return issue.keys.map((key) => ({ field: at([...issue.path, key]), description }));
  }
  const description = issue.message.startsWith('must') ? issue.message : 'must be of another type';
  return [{ field: at(issue.path), description: `${description}, received ${shownValue(valueAt(content, issue.path))}` }];
}

function fieldOf(path: readonly PropertyKey[]): string {
  const text = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  return text.replace(/^\./, '') || 'the file';
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const key of path) value = (value as Record<PropertyKey, unknown> | undefined)?.[key];
  return value;
}

const problem = (field: string, description: string) => invalid([{ field, description }]);

type WithoutDefaults<Shape extends z.ZodRawShape> = {
  [Key in keyof Shape]: z.ZodOptional<Shape[Key] extends z.ZodDefault<infer Inner> ? Inner : Shape[Key]>;
};

function withoutDefaults<Shape extends z.ZodRawShape>(shape: Shape): WithoutDefaults<Shape> {
  const optional = Object.entries(shape).map(([key, schema]) => {
    const inner = schema instanceof z.ZodDefault ? schema.unwrap() : schema;
    return [key, z.optional(inner)];
  });
  return Object.fromEntries(optional) as WithoutDefaults<Shape>;
}
