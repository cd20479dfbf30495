/**
 * Scored prompts -> the classifier's weights. The same rows, options and seed give the same bytes.
 *
 * 1. Linear heads on hashed words, with every row's own heads predicted by heads that never saw its question.
 * 2. Trees on shape and heads: the gain of a strong model, the scores of small and strong ones, output tokens.
 * 3. On the trees' predictions for questions they never saw: calibration per tier, and a line per known model.
 */
import type { Heads } from '../classify/heads.ts';
import { applyHeads } from '../classify/heads.ts';
import { SHAPES } from '../classify/shape.ts';
import type { Forest } from '../classify/trees.ts';
import { evaluate } from '../classify/trees.ts';
import type { Weights } from '../classify/weights.ts';
import { BUCKETS } from '../classify/words.ts';
import type { BoostOptions } from './boost.ts';
import { boost } from './boost.ts';
import type { Datasets, Row } from './data.ts';
import { fitModels, fitTiers, standardised } from './fit-models.ts';
import { foldsOf, questionsOf } from './groups.ts';
import type { Prepared } from './prepare.ts';
import { prepare } from './prepare.ts';
import { quantised, trainHeads } from './sparse.ts';
import type { Targets } from './targets.ts';
import { headNames, headTargets, targetsOf } from './targets.ts';

export interface TrainOptions {
  readonly seed: number;
}

const FOLDS = 4;
const HEADS = { epochs: 5, rate: 0.05, decay: 1e-4 };
const TREES: Omit<BoostOptions, 'seed'> = { trees: 150, depth: 4, rate: 0.06, leaf: 30, lambda: 10, rows: 0.6, columns: 0.4 };
const FEW_TREES = { ...TREES, trees: 80, rate: 0.1 };

/** Per row what the forests say to it. */
export interface Predictions {
  readonly rank: Float64Array;
  readonly small: Float64Array;
  readonly strong: Float64Array;
  readonly tokens: Float64Array;
}

export function train(rows: readonly Row[], datasets: Datasets, options: TrainOptions): Weights {
  const features = prepare(rows);
  const targets = targetsOf(rows, datasets);
  const folds = foldsOf(questionsOf(rows), FOLDS, options.seed);
  const everyone = Int32Array.from(rows, (_, index) => index);
  const { heads, dense } = stack(rows, datasets, features, targets, folds, options.seed);
  const columns = SHAPES.length + heads.names.length;
  const grow = (among: Int32Array) => forests(dense, columns, targets, among, options.seed);
  const unseen: Predictions = predictions(rows.length);
  for (let fold = 0; fold < FOLDS; fold++) {
    const { inside, outside } = split(everyone, folds, fold);
    predict(grow(inside), dense, columns, outside, unseen);
  }
  const standard = standardised(dense, heads, unseen);
  return {
    heads,
    ...grow(everyone),
    tiers: fitTiers(rows, datasets, unseen, targets),
    factorMean: standard.mean,
    factorScale: standard.scale,
    models: fitModels(rows, datasets, standard.factors, unseen),
  };
}

function split(rows: Int32Array, folds: Uint8Array, fold: number): { inside: Int32Array; outside: Int32Array } {
  return { inside: rows.filter((row) => folds[row] !== fold), outside: rows.filter((row) => folds[row] === fold) };
}

/** Final heads, and per row its shape and what heads say to it that were trained on the other folds. */
function stack(
  rows: readonly Row[],
  datasets: Datasets,
  { shape, sparse }: Prepared,
  targets: Targets,
  folds: Uint8Array,
  seed: number,
): { heads: Heads; dense: Float32Array } {
  const names = headNames(datasets);
  const wanted = headTargets(rows, datasets, targets);
  const options = { ...HEADS, heads: names.length, buckets: BUCKETS, seed };
  const headsOf = (among: Int32Array): Heads => quantised(trainHeads(sparse, among, wanted, options), names);
  const everyone = Int32Array.from(rows, (_, index) => index);
  const columns = SHAPES.length + names.length;
  const dense = new Float32Array(rows.length * columns);
  for (const row of everyone) dense.set(shape.subarray(row * SHAPES.length, (row + 1) * SHAPES.length), row * columns);
  for (let fold = 0; fold < FOLDS; fold++) {
    const { inside, outside } = split(everyone, folds, fold);
    const heads = headsOf(inside);
    for (const row of outside)
      applyHeads(
        heads,
        sparse.buckets,
        sparse.offsets[row] as number,
        sparse.offsets[row + 1] as number,
        dense,
        row * columns + SHAPES.length,
      );
  }
  return { heads: headsOf(everyone), dense };
}

interface Forests {
  readonly rank: Forest;
  readonly small: Forest;
  readonly strong: Forest;
  readonly tokens: Forest;
}

function forests(dense: Float32Array, columns: number, targets: Targets, rows: Int32Array, seed: number): Forests {
  const grow = (target: Float64Array, options: Omit<BoostOptions, 'seed'>): Forest => {
    const known = rows.filter((row) => !Number.isNaN(target[row] as number));
    const values = new Float32Array(known.length * columns);
    for (const [index, row] of known.entries()) values.set(dense.subarray(row * columns, (row + 1) * columns), index * columns);
    const wanted = Float64Array.from(known, (row) => target[row] as number);
    return boost(values, known.length, columns, wanted, new Float64Array(known.length).fill(1), { ...options, seed });
  };
  return {
    rank: grow(targets.gain, TREES),
    small: grow(targets.small, FEW_TREES),
    strong: grow(targets.strong, FEW_TREES),
    tokens: grow(targets.tokens, FEW_TREES),
  };
}

function predictions(rows: number): Predictions {
  const empty = (): Float64Array => new Float64Array(rows);
  return { rank: empty(), small: empty(), strong: empty(), tokens: empty() };
}

function predict(trained: Forests, dense: Float32Array, columns: number, rows: Int32Array, out: Predictions): void {
  for (const name of ['rank', 'small', 'strong', 'tokens'] as const)
    for (const row of rows) out[name][row] = evaluate(trained[name], dense, row * columns);
}
