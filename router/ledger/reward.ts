/**
 * What an answer was worth, from 0 to 1, and how much that tells. Pure.
 *
 * Explicit: what a reader says of it (rating, groundedness, recall, readability), each its own figure.
 *
 * Implicit: what shows without anybody saying so. A signal tells how much is left of what was expected of the answer:
 *
 * | signal  | left of what was expected |
 * |---------|---------------------------|
 * | failure | none: the model's engine failed on it (a node that was lost, or a caller who left, is no signal) |
 * | schema  | none: the answer does not satisfy the schema that was asked for |
 * | refusal | a tenth: it says that it will not or cannot answer |
 * | retry   | three tenths: the same prompt was asked again soon |
 * | length  | seven tenths: it was cut off rather than ended |
 * | latency | promised / taken, not under three tenths, when it took longer than promised |
 *
 * Several multiply. An answer that nothing is known of but that it ended well (unremarked) is worth what was expected:
 * silence is no praise, or the model that is asked most would end up believed to be the best. It only sets off the
 * answers that were remarked upon, so that one fault in a hundred is learnt as one in a hundred.
 *
 * Each figure and signal has a weight, 0 to 1: how surely it alone tells what the answer was worth. Those of a kind
 * together tell 1 - (1 - a)(1 - b)...; the reward is the mean by weight. Where something explicit is said, the implicit
 * counts at most a quarter as much, and silence nothing.
 */
import { invalid } from '../../proto/contract/faults.ts';

export interface Outcome {
  /** What was believed of the answer when its model was chosen, 0 to 1. */
  readonly expected: number;
  /** Absent: it has not ended, or was ended by neither the model nor its engine. */
  readonly finish?: 'stop' | 'length' | 'failed' | undefined;
  /** Absent: no schema was asked for. */
  readonly schemaValid?: boolean | undefined;
  /** See `looksLikeRefusal`. */
  readonly refused?: boolean | undefined;
  readonly retried?: boolean | undefined;
  readonly latencyMs?: number | undefined;
  /** As estimated when the model was chosen. */
  readonly promisedMs?: number | undefined;
  /** 0 to 1 each. */
  readonly rating?: number | undefined;
  readonly groundedness?: number | undefined;
  readonly recall?: number | undefined;
  readonly readability?: number | undefined;
}

const EXPLICIT = ['rating', 'groundedness', 'recall', 'readability'] as const;

/** Of each figure and signal, 0 to 1; 0 ignores it. */
export const REWARD_WEIGHTS = {
  rating: 0.8,
  groundedness: 0.5,
  recall: 0.5,
  readability: 0.2,
  failure: 0.5,
  schema: 0.5,
  refusal: 0.4,
  retry: 0.3,
  length: 0.1,
  latency: 0.1,
  unremarked: 0.1,
} as const;

export type RewardPart = keyof typeof REWARD_WEIGHTS;
export type RewardWeights = Readonly<Record<RewardPart, number>>;

export interface Reward {
  /** 0 to 1. */
  readonly reward: number;
  /** Over 0, up to 1. */
  readonly weight: number;
  /** What was taken into account: figures as given, signals as what they leave. */
  readonly parts: Readonly<Partial<Record<RewardPart, number>>>;
}

/** Of explicit weight, at most: what is said outweighs what shows. */
const IMPLICIT_SHARE = 0.25;
const LEFT = { failure: 0, schema: 0, refusal: 0.1, retry: 0.3, length: 0.7 } as const;
const LEAST_LEFT = 0.3;

/**
 * @param weights as in REWARD_WEIGHTS; those not given are
 * @returns undefined when nothing is known yet, or all that is known has no weight
 */
export function rewardOf(outcome: Outcome, weights: Partial<RewardWeights> = {}): Reward | undefined {
  const all: RewardWeights = { ...REWARD_WEIGHTS, ...weights };
  const said = weighed(figuresOf(outcome), all);
  const shown = weighed(signalsOf(outcome), all);
  const left = shown.reduce((product, { value }) => product * value, 1);
  const explicit = togetherOf(said);
  const implicit = explicit > 0 ? Math.min(togetherOf(shown), IMPLICIT_SHARE * explicit) : togetherOf(shown);
  const parts = Object.fromEntries([...said, ...shown].map(({ part, value }) => [part, value]));
  if (explicit + implicit > 0) {
    const meant = explicit > 0 ? meanOf(said) : 0;
    const reward = (explicit * meant + implicit * outcome.expected * left) / (explicit + implicit);
    return { reward: bounded(reward), weight: Math.max(explicit, implicit), parts };
  }
  if (outcome.finish !== 'stop' || all.unremarked <= 0) return undefined;
  return { reward: bounded(outcome.expected), weight: all.unremarked, parts: { unremarked: 1 } };
}

/** @throws Fault INVALID_REQUEST for names that are no part of a reward, and weights that are none */
export function rewardWeights(given: Readonly<Record<string, number>>): RewardWeights {
  const violations = Object.entries(given).flatMap(([name, weight]) => {
    const field = `rewards.${name}`;
    if (!Object.hasOwn(REWARD_WEIGHTS, name)) {
      return [{ field, description: `must be one of ${Object.keys(REWARD_WEIGHTS).join(', ')}` }];
    }
    return weight >= 0 && weight <= 1 ? [] : [{ field, description: `must be from 0 to 1, received ${weight}` }];
  });
  if (violations.length > 0) throw invalid(violations);
  return { ...REWARD_WEIGHTS, ...given };
}

export interface UtilityTerms {
  /** As a preference has them; at least one over 0. */
  readonly weights: { readonly quality: number; readonly cost: number; readonly latency: number };
  /** What counts as dear: the cost of the strongest model's answer, over 0. */
  readonly dearUsd: number;
  /** What counts as slow, over 0. */
  readonly slowMs: number;
}

/** A reward less what it took: from -1 (worthless, dear and slow) to 1 (the best, free and at once). */
export function utilityOf(reward: number, costUsd: number, latencyMs: number, terms: UtilityTerms): number {
  const { quality, cost, latency } = terms.weights;
  const taken = cost * Math.min(1, costUsd / terms.dearUsd) + latency * Math.min(1, latencyMs / terms.slowMs);
  return (quality * reward - taken) / (quality + cost + latency);
}

interface Told {
  readonly part: RewardPart;
  readonly value: number;
  readonly weight: number;
}

type Values = Partial<Record<RewardPart, number | undefined>>;

function figuresOf(outcome: Outcome): Values {
  return Object.fromEntries(EXPLICIT.map((part) => [part, outcome[part]]));
}

function signalsOf({ finish, schemaValid, refused, retried, latencyMs, promisedMs }: Outcome): Values {
  const late = latencyMs !== undefined && promisedMs !== undefined && latencyMs > promisedMs;
  return {
    failure: finish === 'failed' ? LEFT.failure : undefined,
    schema: schemaValid === false ? LEFT.schema : undefined,
    refusal: refused ? LEFT.refusal : undefined,
    retry: retried ? LEFT.retry : undefined,
    length: finish === 'length' ? LEFT.length : undefined,
    latency: late ? Math.max(LEAST_LEFT, promisedMs / latencyMs) : undefined,
  };
}

function weighed(values: Values, weights: RewardWeights): Told[] {
  return (Object.entries(values) as [RewardPart, number | undefined][]).flatMap(([part, value]) =>
    value === undefined || weights[part] <= 0 ? [] : [{ part, value: bounded(value), weight: weights[part] }],
  );
}

function togetherOf(told: readonly Told[]): number {
  return 1 - told.reduce((doubt, { weight }) => doubt * (1 - weight), 1);
}

function meanOf(told: readonly Told[]): number {
  const sum = told.reduce((total, { weight }) => total + weight, 0);
  return told.reduce((total, { value, weight }) => total + value * weight, 0) / sum;
}

function bounded(value: number): number {
  return Math.min(1, Math.max(0, value));
}
