/**
 * What answers of each model cost, learnt from some hundred of them: log-linear in the prompt's length, the tokens that
 * are expected and its factors, and right on average in money rather than in logarithms. Pure.
 */
import type { Classification } from './classification.ts';
import type { Design, Fit } from './ridge.ts';
import { designOf, predicted, ridge } from './ridge.ts';
import type { ScoredPrompt } from './warm.ts';

export interface WarmCosts {
  /** By model, in US dollars; undefined for one without costs. */
  costUsd(classification: Classification, promptChars: number): (number | undefined)[];
}

/** Lengths may tell all there is; factors only what is left. */
const LENGTH_SCALE = 1;
const FACTOR_SCALES = [0.02, 0.05, 0.1, 0.2, 0.4];
/** Shares of the mean cost beyond which no prompt is believed to be. */
const LEAST = 1 / 12;
const MOST = 12;
/** Of the mean; keeps a free answer's logarithm finite. */
const FLOOR = 0.01;

export function learnCosts(models: number, prompts: readonly ScoredPrompt[]): WarmCosts {
  const learnt = Array.from({ length: models }, (_, model) => costOf(model, prompts));
  return {
    costUsd: (classification, promptChars) => {
      const features = featuresOf(classification, promptChars);
      return learnt.map((cost) => cost?.(features));
    },
  };
}

function costOf(model: number, prompts: readonly ScoredPrompt[]): ((features: Float64Array) => number) | undefined {
  const priced = prompts.filter(({ costs }) => costs[model] !== undefined);
  if (priced.length === 0) return undefined;
  const costs = priced.map((prompt) => prompt.costs[model] as number);
  const mean = costs.reduce((total, cost) => total + cost, 0) / costs.length;
  if (mean <= 0) return () => 0;
  const design = designOf(priced.map(({ classification, promptChars }) => featuresOf(classification, promptChars)));
  const target = Float64Array.from(costs, (cost) => Math.log(cost / mean + FLOOR));
  const fit = FACTOR_SCALES.map((scale) => ridge(design, scalesOf(design.columns, scale), [target])).reduce((best, one) =>
    one.error < best.error ? one : best,
  );
  const unbiased = 1 / meanOf((fit.leftOut[0] as Float64Array).map(multiple));
  return (features) => mean * unbiased * multiple(told(design, fit, features));
}

function told(design: Design, fit: Fit, features: Float64Array): number {
  return predicted(design, fit, 0, features);
}

function multiple(logarithm: number): number {
  return Math.min(MOST, Math.max(LEAST, Math.exp(logarithm) - FLOOR));
}

function scalesOf(columns: number, factors: number): Float64Array {
  return new Float64Array(columns).fill(factors).fill(LENGTH_SCALE, 0, 3);
}

function featuresOf({ factors, expectedOutputTokens }: Classification, promptChars: number): Float64Array {
  const features = new Float64Array(factors.length + 3);
  features[0] = Math.log(promptChars + 20);
  features[1] = Math.min(promptChars, 20_000) / 1000;
  features[2] = Math.log(expectedOutputTokens + 1);
  for (let at = 0; at < factors.length; at++) features[at + 3] = Math.min(3, Math.max(-3, factors[at] as number));
  return features;
}

function meanOf(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0) / values.length;
}
