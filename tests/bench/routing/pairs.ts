/** What a ranking is worth between a data set's weak and strong model, beside prompt length and the oracle. */

import type { Interval } from './bootstrap.ts';
import { bootstrap } from './bootstrap.ts';
import { auroc, calibrationError, mean, Ranking } from './metrics.ts';

/** One prompt that the classifier had not seen. */
export interface Pair {
  readonly rank: number;
  /** Probability that the weak model suffices. */
  readonly suffices: number;
  readonly promptChars: number;
  readonly weak: number;
  readonly strong: number;
}

export interface PairResult {
  readonly rows: number;
  readonly gap: number;
  /** Undefined where the strong model is hardly stronger. */
  readonly ranking: RankingResult | undefined;
  readonly auroc: number;
  readonly calibrationError: number;
}

export interface RankingResult {
  readonly apgr: number;
  readonly interval: Interval;
  readonly cpt50: number;
  readonly cpt80: number;
  readonly length: { readonly apgr: number; readonly interval: Interval; readonly cpt50: number; readonly cpt80: number };
  readonly oracle: { readonly apgr: number; readonly cpt50: number; readonly cpt80: number };
}

/** Below it the share of the gap that is recovered says nothing. */
const SMALLEST_GAP = 0.05;

export function pairResult(pairs: readonly Pair[], resamples: number): PairResult {
  const gap = mean(pairs.map(({ weak, strong }) => strong - weak));
  return {
    rows: pairs.length,
    gap,
    ranking: gap < SMALLEST_GAP ? undefined : rankingResult(pairs, resamples),
    auroc: auroc(
      pairs.map(({ suffices }) => suffices),
      pairs.map(({ weak }) => weak >= 0.5),
    ),
    calibrationError: calibrationError(
      pairs.map(({ suffices }) => suffices),
      pairs.map(({ weak }) => weak),
    ),
  };
}

function rankingResult(pairs: readonly Pair[], resamples: number): RankingResult {
  const ranked = measured(pairs, ({ rank }) => rank);
  const length = measured(pairs, ({ promptChars }) => promptChars);
  const interval = (ranking: Ranking) => bootstrap(pairs.length, resamples, (counts) => ranking.apgr(counts));
  return {
    ...ranked.values,
    interval: interval(ranked.ranking),
    length: { ...length.values, interval: interval(length.ranking) },
    oracle: measured(pairs, ({ weak, strong }) => strong - weak).values,
  };
}

function measured(pairs: readonly Pair[], rankOf: (pair: Pair) => number) {
  const ranking = new Ranking(pairs.map((pair) => ({ weak: pair.weak, strong: pair.strong, rank: rankOf(pair) })));
  return { ranking, values: { apgr: ranking.apgr(), cpt50: ranking.cpt(0.5), cpt80: ranking.cpt(0.8) } };
}
