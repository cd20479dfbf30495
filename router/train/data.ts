/** The scored prompts, as files of one folder: datasets.json and a JSON line per prompt and data set. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What datasets.json tells of one data set; what else it tells is not read. */
export interface Dataset {
  /** In the order of a row's scores and costs. */
  readonly models: readonly string[];
  /** Index into `models`. */
  readonly weak: number;
  readonly strong: number;
  readonly score_max: number;
  /** US dollars per million tokens of input and of output. */
  readonly prices?: Readonly<Record<string, readonly [number, number]>>;
  readonly source?: string;
  readonly licence?: string;
}

export type Datasets = Readonly<Record<string, Dataset>>;

export interface Row {
  readonly id: string;
  /** The file: a key of `Datasets`. */
  readonly pool: string;
  readonly subject: string;
  readonly prompt: string;
  /** Per model, 0 to 1. */
  readonly score: readonly number[];
  /** Per model, in US dollars, where known. */
  readonly cost: readonly number[] | undefined;
  /** Per model, where known. */
  readonly outputTokens: readonly number[] | undefined;
}

interface Line {
  readonly id: string;
  readonly subject: string;
  readonly prompt: string;
  readonly score: readonly number[];
  readonly cost?: readonly number[];
  readonly out_tok?: readonly number[];
}

export function readDatasets(folder: string): Datasets {
  return JSON.parse(readFileSync(join(folder, 'datasets.json'), 'utf8')) as Datasets;
}

/** Data sets by name, rows in the order of their files, so that the order never depends on the machine. */
export function readRows(folder: string): Row[] {
  const datasets = readDatasets(folder);
  return Object.keys(datasets)
    .toSorted()
    .flatMap((pool) => rowsOf(pool, readFileSync(join(folder, `${pool}.jsonl`), 'utf8'), datasets[pool] as Dataset));
}

function rowsOf(pool: string, lines: string, { score_max: most }: Dataset): Row[] {
  return lines
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const { id, subject, prompt, score, cost, out_tok: outputTokens } = JSON.parse(line) as Line;
      return { id, pool, subject, prompt, score: score.map((one) => one / most), cost, outputTokens };
    });
}
