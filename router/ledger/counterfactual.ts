/**
 * What another policy would have got, from what this one did. Pure.
 *
 * Decision i took action a_i with probability mu_i and got y_i; the other policy takes a_i with probability pi_i. With
 * w_i = pi_i / mu_i and a model m that guesses y for any action:
 *
 * - inverse propensity scoring (IPS): mean of w_i y_i. Unbiased, of large variance where weights are large.
 * - self-normalised (SNIPS): sum of w_i y_i / sum of w_i. Hardly biased, of less variance; moves with y when y is shifted.
 * - doubly robust (DR): mean of E_pi[m] + w_i (y_i - m(a_i)). Unbiased if either the propensities or m are right, and of
 *   the least variance if m is any good. After Dudik, Langford and Li, 2011.
 *
 * m is what the router itself expected of each candidate, corrected by what each model really did; the correction of a
 * decision is learnt from other decisions only (cross-fitting in five folds), so it never knows its own answer. Intervals
 * are of 95 %, by the normal approximation of the mean, for SNIPS by the delta method. They trust many decisions of
 * like weight: see `effectiveSize`.
 */

/** One decision and one of its figures, such as its cost. */
export interface Sample {
  /** pi / mu of what was chosen. */
  readonly weight: number;
  readonly observed: number;
  readonly chosen: Expected;
  /** What the other policy does; the probabilities sum to 1. */
  readonly target: readonly (Expected & { readonly probability: number })[];
}

/** What was expected of an action when it was decided. */
export interface Expected {
  readonly model: string;
  readonly expected: number;
}

export interface Estimate {
  readonly value: number;
  /** 95 % interval. */
  readonly low: number;
  readonly high: number;
}

export interface Comparison {
  readonly decisions: number;
  /** What was really got. */
  readonly logged: Estimate;
  readonly ips: Estimate;
  readonly snips: Estimate;
  readonly doublyRobust: Estimate;
  /** DR less logged, decision by decision. */
  readonly change: Estimate;
}

/** How a model's errors are corrected: figures around a level by a difference, those over a range by a ratio. */
export type Correction = 'difference' | 'ratio';

const Z95 = 1.959964;
const FOLDS = 5;
/** So many decisions the overall correction counts beside a model's own. */
const BORROWED = 10;

/** @returns undefined for fewer than two decisions, which tell no spread */
export function compare(samples: readonly Sample[], correction: Correction): Comparison | undefined {
  if (samples.length < 2) return undefined;
  const observed = Float64Array.from(samples, (sample) => sample.observed);
  const robust = doublyRobustScores(samples, correction);
  return {
    decisions: samples.length,
    logged: meanOf(observed),
    ips: meanOf(Float64Array.from(samples, (sample) => sample.weight * sample.observed)),
    snips: selfNormalised(samples),
    doublyRobust: meanOf(robust),
    change: meanOf(robust.map((score, i) => score - (observed[i] as number))),
  };
}

/**
 * As many decisions of equal weight would tell as much: (sum w)^2 / sum w^2, after Kish.
 * @returns also the mean weight, which is about 1 where propensities are true and the log has tried what the policy does
 */
export function effectiveSize(weights: readonly number[]): { readonly size: number; readonly meanWeight: Estimate | undefined } {
  const values = Float64Array.from(weights);
  const squares = values.reduce((sum, weight) => sum + weight * weight, 0);
  const sum = values.reduce((total, weight) => total + weight, 0);
  return { size: squares > 0 ? (sum * sum) / squares : 0, meanWeight: values.length < 2 ? undefined : meanOf(values) };
}

function meanOf(values: Float64Array): Estimate {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return around(mean, Math.sqrt(squares / (values.length - 1) / values.length));
}

function around(value: number, error: number): Estimate {
  return { value, low: value - Z95 * error, high: value + Z95 * error };
}

/** Without any weight there is nothing to go by: NaN. */
function selfNormalised(samples: readonly Sample[]): Estimate {
  const weights = samples.reduce((sum, { weight }) => sum + weight, 0);
  const value = samples.reduce((sum, { weight, observed }) => sum + weight * observed, 0) / weights;
  const squares = samples.reduce((sum, { weight, observed }) => sum + (weight * (observed - value)) ** 2, 0);
  return around(value, Math.sqrt(squares) / weights);
}

function doublyRobustScores(samples: readonly Sample[], correction: Correction): Float64Array {
  const corrected = corrections(samples, correction);
  return Float64Array.from(samples, ({ weight, observed, chosen, target }, i) => {
    const guess = corrected[i % FOLDS] as (action: Expected) => number;
    const expected = target.reduce((sum, action) => sum + action.probability * guess(action), 0);
    return expected + weight * (observed - guess(chosen));
  });
}

interface Sums {
  count: number;
  observed: number;
  expected: number;
}

/** By fold: how to guess for its decisions, learnt from those of the other folds. */
function corrections(samples: readonly Sample[], correction: Correction): ((action: Expected) => number)[] {
  return Array.from({ length: FOLDS }, (_, fold) => {
    const all: Sums = { count: 0, observed: 0, expected: 0 };
    const models = new Map<string, Sums>();
    samples.forEach(({ observed, chosen: { model, expected } }, i) => {
      if (i % FOLDS === fold) return;
      const own = models.get(model) ?? { count: 0, observed: 0, expected: 0 };
      models.set(model, own);
      for (const sums of [all, own]) {
        sums.count++;
        sums.observed += observed;
        sums.expected += expected;
      }
    });
    return correction === 'ratio' ? byRatio(all, models) : byDifference(all, models);
  });
}

/** Models that hardly were chosen are corrected as all are. */
function byDifference(all: Sums, models: ReadonlyMap<string, Sums>): (action: Expected) => number {
  const overall = (all.observed - all.expected) / Math.max(1, all.count);
  return ({ model, expected }) => {
    const own = models.get(model);
    if (!own) return expected + overall;
    return expected + (own.observed - own.expected + BORROWED * overall) / (own.count + BORROWED);
  };
}

function byRatio(all: Sums, models: ReadonlyMap<string, Sums>): (action: Expected) => number {
  const overall = all.expected > 0 ? all.observed / all.expected : 1;
  const usual = all.expected / Math.max(1, all.count);
  return ({ model, expected }) => {
    const own = models.get(model);
    const weight = (own?.expected ?? 0) + BORROWED * usual;
    return weight > 0 ? (expected * ((own?.observed ?? 0) + BORROWED * usual * overall)) / weight : expected;
  };
}
