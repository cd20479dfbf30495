/** From what the trees predict for questions they never saw: what each tier and each known model is likely to answer. */
import type { Calibration } from '../classify/calibration.ts';
import { TIERS } from '../classify/classification.ts';
import { FACTORS, rawFactors, standardise } from '../classify/factors.ts';
import { canonical } from '../classify/models.ts';
import type { ModelWeights } from '../classify/weights.ts';
import type { Dataset, Datasets, Row } from './data.ts';
import { isotonic, linear, logistic } from './fits.ts';
import type { Stack } from './stack.ts';
import type { Targets } from './targets.ts';
import { BALANCED_MODEL, FAST_MODEL } from './targets.ts';
import type { Predictions } from './train.ts';

/** On standardised factors: about as strong as this many rows. */
const RIDGE = 20;

export interface Standardised {
  readonly mean: Float32Array;
  readonly scale: Float32Array;
  /** Rows x factors. */
  readonly factors: Float32Array;
}

export function standardised({ dense, columns }: Stack, { small, strong, rank }: Predictions): Standardised {
  const rows = rank.length;
  const size = FACTORS.length;
  const factors = new Float32Array(rows * size);
  for (let row = 0; row < rows; row++) {
    const forests = { small: small[row] as number, strong: strong[row] as number, rank: rank[row] as number };
    rawFactors(dense, row * columns, forests, factors, row * size);
  }
  const mean = new Float32Array(size);
  const scale = new Float32Array(size);
  for (let at = 0; at < size; at++) {
    let sum = 0;
    let squares = 0;
    for (let row = 0; row < rows; row++) {
      const value = factors[row * size + at] as number;
      sum += value;
      squares += value * value;
    }
    mean[at] = sum / rows;
    const deviation = Math.sqrt(Math.max(0, squares / rows - (sum / rows) ** 2));
    scale[at] = deviation > 1e-6 ? 1 / deviation : 0;
  }
  for (let row = 0; row < rows; row++)
    standardise(factors.subarray(row * size, (row + 1) * size), { factorMean: mean, factorScale: scale });
  return { mean, scale, factors };
}

/** Per tier the calibration of the trees' prediction; see `Weights.tiers`. */
export function fitTiers(rows: readonly Row[], datasets: Datasets, unseen: Predictions, targets: Targets): Calibration[] {
  const everyone = Int32Array.from(rows, (_, index) => index).filter((row) => !Number.isNaN(targets.small[row] as number));
  return TIERS.map((tier) => {
    if (tier === 'quality') return fitted(everyone, unseen.small, (row) => targets.small[row] as number);
    if (tier === 'cloud') return fitted(everyone, unseen.strong, (row) => targets.strong[row] as number);
    const model = tier === 'fast' ? FAST_MODEL : BALANCED_MODEL;
    const scoreOf = (row: number): number | undefined => {
      const { pool, score } = rows[row] as Row;
      return score[(datasets[pool] as Dataset).models.indexOf(model)];
    };
    const known = everyone.filter((row) => scoreOf(row) !== undefined);
    return fitted(known, unseen.small, (row) => scoreOf(row) as number);
  });
}

function fitted(rows: Int32Array, predicted: Float64Array, truth: (row: number) => number): Calibration {
  return isotonic(
    Float64Array.from(rows, (row) => predicted[row] as number),
    Float64Array.from(rows, truth),
  );
}

/** One per name, in the order in which the data sets name them; a model of several data sets learns from all. */
export function fitModels(rows: readonly Row[], datasets: Datasets, factors: Float32Array, unseen: Predictions): ModelWeights[] {
  const names = new Map<string, string>();
  for (const pool of Object.keys(datasets).toSorted())
    for (const name of (datasets[pool] as Dataset).models) if (!names.has(canonical(name))) names.set(canonical(name), name);
  return [...names].map(([key, name]) => {
    const place = new Map(
      Object.entries(datasets).map(([pool, { models }]) => [pool, models.findIndex((other) => canonical(other) === key)]),
    );
    const at = (row: number): number => place.get((rows[row] as Row).pool) as number;
    const known = Int32Array.from(rows, (_, index) => index).filter((row) => at(row) >= 0);
    const score = Float64Array.from(known, (row) => (rows[row] as Row).score[at(row)] as number);
    return {
      name,
      quality: Float32Array.from(logistic(factors, known, FACTORS.length, score, RIDGE)),
      cost: costOf(rows, datasets, known, at, unseen),
    };
  });
}

/** A line through the known costs, or the prices of tokens where only those are known. */
function costOf(
  rows: readonly Row[],
  datasets: Datasets,
  known: Int32Array,
  at: (row: number) => number,
  { tokens }: Predictions,
): Float32Array {
  const priced = known.filter((row) => (rows[row] as Row).cost !== undefined);
  if (priced.length > 0) {
    const values = new Float64Array(priced.length * 3);
    for (const [index, row] of priced.entries())
      values.set([1, (rows[row] as Row).prompt.length / 1000, (2 ** (tokens[row] as number) - 1) / 100], index * 3);
    const cost = Float64Array.from(priced, (row) => (((rows[row] as Row).cost as number[])[at(row)] as number) * 1e4);
    const [constant, perUnit, perToken] = linear(values, 3, cost, 1) as unknown as [number, number, number];
    return Float32Array.of(constant / 1e4, perUnit / 1e7, perToken / 1e6);
  }
  const [first] = known;
  if (first === undefined) return new Float32Array(0);
  const { models, prices } = datasets[(rows[first] as Row).pool] as Dataset;
  const price = prices?.[models[at(first)] as string];
  // About four UTF-16 units are a token.
  return price ? Float32Array.of(0, price[0] / 4e6, price[1] / 1e6) : new Float32Array(0);
}
