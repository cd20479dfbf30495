/** What the heads and trees learn of each row. */
import type { Dataset, Datasets, Row } from './data.ts';

/** Models of the training data that are as large as the `fast` and `balanced` tiers' are, up to 4 billion parameters. */
export const FAST_MODEL = 'gemma-2-2b-it';
export const BALANCED_MODEL = 'Phi-3-mini-4k-instruct';

/** Models of 6 to 14 billion parameters, and the smallest that a pool without any has. */
const SMALL = /(?:^|[^0-9])(?:6|7|8|9|13)b\b|mixtral/i;
/** Strongest in their pools. */
const STRONG = /gpt-4-1106|gemini-1\.5-pro|claude-3-5-sonnet|claude-3-opus|Llama-3\.1-405B|Mistral-Large|nemotron|3_1-70B/i;
/** Small, but made for one thing, or answering in a form of their own. */
const ODD = /code|math|chatqa/i;

export interface Targets {
  /** Score of the strong model less that of the weak one. */
  readonly gain: Float64Array;
  /** Mean score of the small and of the strong models, 0 to 1; NaN where it tells of no strength. */
  readonly small: Float64Array;
  readonly strong: Float64Array;
  /** log2(1 + tokens), mean over the models; NaN where unknown. */
  readonly tokens: Float64Array;
}

export function targetsOf(rows: readonly Row[], datasets: Datasets): Targets {
  const sets = setsOf(datasets);
  const each = (value: (row: Row) => number): Float64Array => Float64Array.from(rows, value);
  const silent = unheard(rows, datasets, sets);
  return {
    gain: each((row) => gainOf(row, datasets[row.pool] as Dataset)),
    small: each((row) => (silent.has(kindOf(row)) ? Number.NaN : meanAt(row.score, sets.get(row.pool)?.small ?? []))),
    strong: each((row) => (silent.has(kindOf(row)) ? Number.NaN : meanAt(row.score, sets.get(row.pool)?.strong ?? []))),
    tokens: each(({ outputTokens }) =>
      outputTokens ? outputTokens.reduce((sum, tokens) => sum + Math.log2(1 + tokens), 0) / outputTokens.length : Number.NaN,
    ),
  };
}

const kindOf = ({ pool, subject }: Row): string => `${pool}/${subject}`;

/** Where strong models score as little as small ones, the grading did not hear the answers: such rows tell of no strength. */
const LEAST_STRONG = 0.25;
const LEAST_GAIN = 0.03;

function unheard(rows: readonly Row[], datasets: Datasets, sets: ReadonlyMap<string, Sets>): ReadonlySet<string> {
  const sums = new Map<string, { rows: number; strong: number; gain: number }>();
  for (const row of rows) {
    const before = sums.get(kindOf(row)) ?? { rows: 0, strong: 0, gain: 0 };
    sums.set(kindOf(row), {
      rows: before.rows + 1,
      strong: before.strong + meanAt(row.score, sets.get(row.pool)?.strong ?? []),
      gain: before.gain + gainOf(row, datasets[row.pool] as Dataset),
    });
  }
  return new Set(
    [...sums].filter(([, of]) => of.strong < LEAST_STRONG * of.rows && of.gain < LEAST_GAIN * of.rows).map(([kind]) => kind),
  );
}

export function gainOf({ score }: Row, { weak, strong }: Dataset): number {
  return (score[strong] as number) - (score[weak] as number);
}

interface Sets {
  readonly small: readonly number[];
  readonly strong: readonly number[];
}

function setsOf(datasets: Datasets): ReadonlyMap<string, Sets> {
  return new Map(
    Object.entries(datasets).map(([pool, { models, weak, strong }]) => {
      const where = (fits: (name: string) => boolean): number[] => models.flatMap((name, index) => (fits(name) ? [index] : []));
      const small = where((name) => SMALL.test(name) && !ODD.test(name));
      const large = where((name) => STRONG.test(name));
      return [pool, { small: small.length > 0 ? small : [weak], strong: large.length > 0 ? large : [strong] }] as const;
    }),
  );
}

function meanAt(values: readonly number[], indices: readonly number[]): number {
  return indices.reduce((sum, index) => sum + (values[index] as number), 0) / indices.length;
}

/** Per row the class of its kind of question, and the names of the classes: data set and subject, in order. */
export function classesOf(rows: readonly Row[]): { label: Int32Array; names: string[] } {
  const names = [...new Set(rows.map(kindOf))].toSorted();
  const index = new Map(names.map((name, at) => [name, at]));
  return { label: Int32Array.from(rows, (row) => index.get(kindOf(row)) as number), names };
}

/** Rows x (weak, strong) of each pool, 0 to 1; NaN where a row says nothing to a head. */
export function pairTargets(rows: readonly Row[], datasets: Datasets, pools: readonly string[]): Float32Array {
  const out = new Float32Array(rows.length * pools.length * 2).fill(Number.NaN);
  for (const [index, { pool, score }] of rows.entries()) {
    const { weak, strong } = datasets[pool] as Dataset;
    const at = (index * pools.length + pools.indexOf(pool)) * 2;
    out[at] = score[weak] as number;
    out[at + 1] = score[strong] as number;
  }
  return out;
}
