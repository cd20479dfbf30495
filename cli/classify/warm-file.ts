/**
 * A file of scored prompts: {"prompt", "score", "cost"} a line. Scores and costs are objects by model, or arrays in the
 * order of the row's `models`, else of the datasets.json beside the file, else models go by their place: "0", "1".
 */
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Classification, ModelPair } from '../../router/index.ts';
import { jsonLines } from '../lines.ts';
import { UsageError } from '../usage.ts';

export interface WarmFile {
  readonly models: readonly string[];
  readonly prompts: readonly WarmPrompt[];
  /** Which two a rank is about: as datasets.json tells, else the only two there are. */
  readonly pair: ModelPair | undefined;
  /** What the reader should know of how it was read. */
  readonly notes: readonly string[];
}

export interface WarmPrompt {
  readonly classification: Classification;
  readonly promptChars: number;
  /** By model, in the order of `models`. */
  readonly scores: readonly (number | undefined)[];
  readonly costs: readonly (number | undefined)[];
}

/** What datasets.json tells of one file. */
interface Described {
  readonly models?: readonly string[];
  readonly weak?: number;
  readonly strong?: number;
  readonly score_max?: number;
}

interface Scored {
  readonly classification: Classification;
  readonly promptChars: number;
  readonly scores: ReadonlyMap<string, number>;
  readonly costs: ReadonlyMap<string, number>;
}

/** Keeps of each prompt what it was classified as, not its text. @throws UsageError */
export async function readWarmFile(path: string, classify: (prompt: string) => Classification): Promise<WarmFile> {
  const described = path === '-' ? {} : describedBeside(path);
  const rows: Scored[] = [];
  let unnamed = false;
  let about: Described | undefined;
  for await (const { place, value } of jsonLines(path)) {
    const { prompt, score, cost, models, dataset } = value;
    if (typeof prompt !== 'string') throw new UsageError(`${place}: prompt must be a text`);
    const own = describedOf(described, path, dataset);
    about ??= own;
    const names = namesOf(models, place) ?? own?.models;
    unnamed ||= Array.isArray(score) && !names;
    const most = own?.score_max ?? 1;
    rows.push({
      classification: classify(prompt),
      promptChars: prompt.length,
      scores: figures(score, names, `${place}: score`, most),
      costs: figures(cost ?? {}, names, `${place}: cost`, Number.POSITIVE_INFINITY),
    });
  }
  if (rows.length === 0) throw new UsageError(`${path} must hold at least one scored prompt`);
  const models = [...new Set(rows.flatMap(({ scores }) => [...scores.keys()]))];
  const prompts = rows.map(({ classification, promptChars, scores, costs }) => ({
    classification,
    promptChars,
    scores: models.map((model) => scores.get(model)),
    costs: models.map((model) => costs.get(model)),
  }));
  const notes = unnamed ? [`${path} names no models: they go by their place, 0 to ${models.length - 1}`] : [];
  return { models, prompts, pair: pairOf(models, prompts, about), notes };
}

function describedBeside(path: string): Readonly<Record<string, Described>> {
  const file = join(dirname(path), 'datasets.json');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return {};
  }
  try {
    return JSON.parse(text) as Record<string, Described>;
  } catch {
    throw new UsageError(`${file} must be JSON`);
  }
}

/** By the file's name, else the longest key that the row's data set begins with. */
function describedOf(described: Readonly<Record<string, Described>>, path: string, dataset: unknown): Described | undefined {
  const name = basename(path).replace(/\.[^.]*$/, '');
  if (Object.hasOwn(described, name)) return described[name];
  if (typeof dataset !== 'string') return undefined;
  const keys = Object.keys(described).filter((key) => dataset.startsWith(key));
  return described[keys.toSorted((a, b) => b.length - a.length)[0] ?? ''];
}

function namesOf(models: unknown, place: string): readonly string[] | undefined {
  if (models === undefined) return undefined;
  if (Array.isArray(models) && models.every((name) => typeof name === 'string')) return models;
  throw new UsageError(`${place}: models must be a list of names`);
}

/** @param most scores from 0 to this become 0 to 1; costs stay what they are */
function figures(given: unknown, names: readonly string[] | undefined, field: string, most: number): ReadonlyMap<string, number> {
  if (typeof given !== 'object' || given === null) throw new UsageError(`${field} must be a list or an object of numbers`);
  const list = Array.isArray(given);
  if (list && names && names.length !== given.length)
    throw new UsageError(`${field} must have one number for each of ${names.length} models, received ${given.length}`);
  const known = Object.entries(given).filter(([, value]) => value !== null);
  return new Map(
    known.map(([key, value]) => {
      if (typeof value !== 'number' || !(value >= 0 && value <= most))
        throw new UsageError(`${field} must hold numbers from 0${Number.isFinite(most) ? ` to ${most}` : ''}`);
      return [list ? (names?.[Number(key)] ?? key) : key, Number.isFinite(most) ? value / most : value];
    }),
  );
}

function pairOf(models: readonly string[], prompts: readonly WarmPrompt[], about: Described | undefined): ModelPair | undefined {
  const named = (index: number | undefined) => models.indexOf(about?.models?.[index ?? -1] ?? '');
  const [weak, strong] = [named(about?.weak), named(about?.strong)];
  if (weak >= 0 && strong >= 0 && weak !== strong) return { weak, strong };
  if (models.length !== 2) return undefined;
  const total = (model: number) => prompts.reduce((sum, { scores }) => sum + (scores[model] ?? 0), 0);
  return total(0) <= total(1) ? { weak: 0, strong: 1 } : { weak: 1, strong: 0 };
}
