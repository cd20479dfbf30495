/**
 * The order in which prompts go to a strong model rather than a weak one, where scored prompts of both are there: the
 * trained order and the gain that the scored prompts predict, each weighed by what it tells of prompts that were left
 * out. Pure.
 */
import type { Classification } from './classification.ts';
import type { ScoredPrompt, WarmModels } from './warm.ts';

/** Indexes of two models. */
export interface ModelPair {
  readonly weak: number;
  readonly strong: number;
}

/** What is expected of the correlation of each with the true gain, before any prompt is looked at: mean and deviation. */
const TRAINED = { mean: 0.15, deviation: 0.1 };
const LEARNT = { mean: 0, deviation: 0.15 };

/** @returns higher goes to the strong model first; an expected gain in score. undefined where nothing compares the two */
export function learnRank(
  { weak, strong }: ModelPair,
  prompts: readonly ScoredPrompt[],
  learnt: WarmModels,
): ((classification: Classification) => number) | undefined {
  const rows = [...prompts.keys()].flatMap((row) => {
    const gain = difference(prompts[row]?.scores, weak, strong);
    const expected = difference(learnt.leftOut[row], weak, strong);
    const trained = (prompts[row] as ScoredPrompt).classification.rank;
    return gain === undefined || expected === undefined ? [] : [{ gain, expected, trained }];
  });
  const gains = spread(rows.map(({ gain }) => gain));
  const trained = spread(rows.map((row) => row.trained));
  const expected = spread(rows.map((row) => row.expected));
  if (gains.deviation === 0) return undefined;
  const standard = rows.map((row) => ({
    gain: gains.of(row.gain),
    trained: trained.of(row.trained),
    expected: expected.of(row.expected),
  }));
  const slopes = posterior(standard);
  return (classification) => {
    const told = difference(learnt.quality(classification), weak, strong) as number;
    const standing = slopes.trained * trained.of(classification.rank) + slopes.learnt * expected.of(told);
    return gains.mean + gains.deviation * standing;
  };
}

interface Standard {
  readonly gain: number;
  readonly trained: number;
  readonly expected: number;
}

/** Least squares with the priors above; neither order is ever turned around. */
function posterior(rows: readonly Standard[]): { trained: number; learnt: number } {
  const sum = (of: (row: Standard) => number) => rows.reduce((total, row) => total + of(row), 0);
  const precision = { trained: TRAINED.deviation ** -2, learnt: LEARNT.deviation ** -2 };
  const a = sum(({ trained }) => trained ** 2) + precision.trained;
  const b = sum(({ trained, expected }) => trained * expected);
  const d = sum(({ expected }) => expected ** 2) + precision.learnt;
  const right = {
    trained: sum(({ trained, gain }) => trained * gain) + precision.trained * TRAINED.mean,
    learnt: sum(({ expected, gain }) => expected * gain) + precision.learnt * LEARNT.mean,
  };
  const both = {
    trained: (d * right.trained - b * right.learnt) / (a * d - b * b),
    learnt: (a * right.learnt - b * right.trained) / (a * d - b * b),
  };
  if (both.trained < 0) return { trained: 0, learnt: Math.max(0, right.learnt / d) };
  if (both.learnt < 0) return { trained: Math.max(0, right.trained / a), learnt: 0 };
  return both;
}

function difference(values: readonly (number | undefined)[] | undefined, weak: number, strong: number): number | undefined {
  const [low, high] = [values?.[weak], values?.[strong]];
  return low === undefined || high === undefined ? undefined : high - low;
}

function spread(values: readonly number[]) {
  const mean = values.reduce((total, value) => total + value, 0) / Math.max(1, values.length);
  const deviation = Math.sqrt(values.reduce((total, value) => total + (value - mean) ** 2, 0) / Math.max(1, values.length));
  return { mean, deviation, of: (value: number) => (deviation > 0 ? (value - mean) / deviation : 0) };
}
