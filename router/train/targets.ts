/** What the heads and trees learn of each row. */
import { DOMAIN_HEADS } from '../classify/factors.ts';
import type { Dataset, Datasets, Row } from './data.ts';
import { domainOfSubject } from './subjects.ts';

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
  /** Mean score of the small and of the strong models, 0 to 1. */
  readonly small: Float64Array;
  readonly strong: Float64Array;
  /** log2(1 + tokens), mean over the models; NaN where unknown. */
  readonly tokens: Float64Array;
}

export function targetsOf(rows: readonly Row[], datasets: Datasets): Targets {
  const sets = setsOf(datasets);
  const each = (value: (row: Row) => number): Float64Array => Float64Array.from(rows, value);
  return {
    gain: each((row) => gainOf(row, datasets[row.pool] as Dataset)),
    small: each((row) => meanAt(row.score, sets.get(row.pool)?.small ?? [])),
    strong: each((row) => meanAt(row.score, sets.get(row.pool)?.strong ?? [])),
    tokens: each(({ outputTokens }) =>
      outputTokens ? outputTokens.reduce((sum, tokens) => sum + Math.log2(1 + tokens), 0) / outputTokens.length : Number.NaN,
    ),
  };
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

/** Names of the linear heads, in their order. */
export function headNames(datasets: Datasets): string[] {
  const pools = Object.keys(datasets).toSorted();
  return [
    ...DOMAIN_HEADS.map((domain) => `domain:${domain}`),
    'small',
    'strong',
    'gain',
    ...pools.flatMap((pool) => [`weak:${pool}`, `strong:${pool}`]),
  ];
}

/** Rows x heads, 0 to 1; NaN where a row says nothing to a head. */
export function headTargets(rows: readonly Row[], datasets: Datasets, targets: Targets): Float32Array {
  const names = headNames(datasets);
  const out = new Float32Array(rows.length * names.length).fill(Number.NaN);
  for (const [index, row] of rows.entries()) {
    const put = (name: string, value: number): void => {
      out[index * names.length + names.indexOf(name)] = value;
    };
    const dataset = datasets[row.pool] as Dataset;
    const domain = domainOfSubject(row.subject);
    if (domain) for (const other of DOMAIN_HEADS) put(`domain:${other}`, other === domain ? 1 : 0);
    put('small', targets.small[index] as number);
    put('strong', targets.strong[index] as number);
    put('gain', ((targets.gain[index] as number) + 1) / 2);
    put(`weak:${row.pool}`, row.score[dataset.weak] as number);
    put(`strong:${row.pool}`, row.score[dataset.strong] as number);
  }
  return out;
}
