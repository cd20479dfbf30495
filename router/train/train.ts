/**
 * Scored prompts -> the classifier's weights. The same rows, options and seed give the same bytes.
 *
 * 1. Linear heads on words, and for every row what heads say to it that never saw its question (stack.ts).
 * 2. Trees on shape and heads: the gain of a strong model, the scores of small and strong ones, output tokens.
 * 3. On the trees' predictions for questions they never saw: calibration per tier, and a line per known model.
 */
import { headsGain, rankOf } from '../classify/rank.ts';
import type { Forest } from '../classify/trees.ts';
import { evaluate } from '../classify/trees.ts';
import type { Weights } from '../classify/weights.ts';
import type { BoostOptions } from './boost.ts';
import { boost } from './boost.ts';
import type { Datasets, Row } from './data.ts';
import { fitModels, fitTiers, standardised } from './fit-models.ts';
import { foldsOf, questionsOf } from './groups.ts';
import { prepare } from './prepare.ts';
import type { Stack } from './stack.ts';
import { stack } from './stack.ts';
import type { Targets } from './targets.ts';
import { targetsOf } from './targets.ts';

export interface TrainOptions {
  readonly seed: number;
}

const FOLDS = 5;
const RANK_TREES: Omit<BoostOptions, 'seed'> = {
  trees: 150,
  depth: 4,
  rate: 0.06,
  leaf: 30,
  lambda: 10,
  rows: 0.6,
  columns: 0.4,
};
const FEW_TREES = { ...RANK_TREES, trees: 80, rate: 0.1 };

/** Per row what forests say to it that never saw its question. */
export interface Predictions {
  readonly rank: Float64Array;
  readonly small: Float64Array;
  readonly strong: Float64Array;
  readonly tokens: Float64Array;
}

type Forests = Readonly<Record<keyof Predictions, Forest>>;

export function train(rows: readonly Row[], datasets: Datasets, { seed }: TrainOptions): Weights {
  const targets = targetsOf(rows, datasets);
  const folds = foldsOf(questionsOf(rows), FOLDS, seed);
  const stacked = stack(rows, datasets, prepare(rows), targets, folds, seed);
  const everyone = Int32Array.from(rows, (_, index) => index);
  const empty = (): Float64Array => new Float64Array(rows.length);
  const unseen: Predictions = { rank: empty(), small: empty(), strong: empty(), tokens: empty() };
  for (let fold = 0; fold < FOLDS; fold++) {
    const grown = grow(
      stacked,
      targets,
      everyone.filter((row) => folds[row] !== fold),
      seed,
    );
    predict(
      grown,
      stacked,
      everyone.filter((row) => folds[row] === fold),
      unseen,
    );
  }
  const standard = standardised(stacked, unseen);
  return {
    heads: stacked.heads,
    means: stacked.means,
    ...grow(stacked, targets, everyone, seed),
    tiers: fitTiers(rows, datasets, unseen, targets),
    factorMean: standard.mean,
    factorScale: standard.scale,
    models: fitModels(rows, datasets, standard.factors, unseen),
  };
}

function grow({ dense, columns }: Stack, targets: Targets, rows: Int32Array, seed: number): Forests {
  const forest = (target: (row: number) => number, options: Omit<BoostOptions, 'seed'>): Forest => {
    const known = rows.filter((row) => !Number.isNaN(target(row)));
    const values = new Float32Array(known.length * columns);
    for (const [index, row] of known.entries()) values.set(dense.subarray(row * columns, (row + 1) * columns), index * columns);
    const wanted = Float64Array.from(known, target);
    return boost(values, known.length, columns, wanted, new Float64Array(known.length).fill(1), { ...options, seed });
  };
  return {
    rank: forest((row) => (targets.gain[row] as number) - headsGain(dense, row * columns), RANK_TREES),
    small: forest((row) => targets.small[row] as number, FEW_TREES),
    strong: forest((row) => targets.strong[row] as number, FEW_TREES),
    tokens: forest((row) => targets.tokens[row] as number, FEW_TREES),
  };
}

function predict(grown: Forests, { dense, columns }: Stack, rows: Int32Array, out: Predictions): void {
  for (const row of rows) {
    const from = row * columns;
    out.rank[row] = rankOf(grown.rank, dense, from);
    for (const name of ['small', 'strong', 'tokens'] as const) out[name][row] = evaluate(grown[name], dense, from);
  }
}
