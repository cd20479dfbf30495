/**
 * Who chooses between models in a race over the same requests. A choice is the largest draw of quality less what the
 * model costs; the draws are the router's own (router/select/random.ts), from what each player believes.
 */
import { ExplorationBudget } from '../../../router/ledger/exploration.ts';
import { Bandit } from '../../../router/select/bandit/bandit.ts';
import type { Arm, Belief, Context } from '../../../router/select/belief.ts';
import { gaussian, seeded, seedFor } from '../../../router/select/random.ts';

/** One request, and what each arm would have made of it. */
export interface Turn {
  readonly context: Context;
  /** For reports only; no player looks at it. */
  readonly domain: string;
  /** What the classifier expects of each arm, 0 to 1. */
  readonly priors: readonly number[];
  /** Score that each arm would get, 0 to 1; a player sees that of the arm it chose. */
  readonly scores: readonly number[];
  /** What each arm's cost is expected to take off the score. */
  readonly charges: readonly number[];
  /** What choosing each arm is worth: its score less its cost. */
  readonly worth: readonly number[];
}

export interface Player {
  choose(turn: Turn, now: number, seed: number): number;
  learn(turn: Turn, arm: number, now: number): void;
}

/** Index of the largest. */
export function largest(values: readonly number[]): number {
  return values.indexOf(Math.max(...values));
}

function largestDraw(arms: readonly Arm[], beliefs: readonly Belief[], { charges }: Turn, seed: number): number {
  const draws = beliefs.map(({ mean, sd }, arm) => {
    const z = gaussian(seeded(seedFor(seed, (arms[arm] as Arm).model)));
    return Math.min(1, Math.max(0, mean + z * sd)) - (charges[arm] as number);
  });
  return largest(draws);
}

/**
 * The router's own: its bandit over the classifier's priors, and its budget of choices that may differ from the one
 * believed best.
 * @param exploration that budget, as in a policy
 */
export function contextual(arms: readonly Arm[], exploration: number, bandit = new Bandit()): Player {
  const budget = new ExplorationBudget();
  return {
    choose: (turn, now, seed) => {
      const beliefs = arms.map((arm, index) => bandit.belief(arm, turn.context, turn.priors[index] as number, now));
      const expected = largest(beliefs.map(({ mean }, arm) => mean - (turn.charges[arm] as number)));
      const may = budget.may(undefined, exploration);
      const chosen = may ? largestDraw(arms, beliefs, turn, seed) : expected;
      budget.spent(undefined, exploration, chosen !== expected);
      return chosen;
    },
    learn: (turn, arm, now) => teach(bandit, arms, turn, arm, now),
  };
}

export function teach(bandit: Bandit, arms: readonly Arm[], turn: Turn, arm: number, now: number): void {
  const [prior, score] = [turn.priors[arm] as number, turn.scores[arm] as number];
  bandit.learn(arms[arm] as Arm, turn.context, prior, score, 1, now);
}

/** The yardstick: Thompson sampling with one normal belief for each arm, whatever is asked. */
export function contextFree(arms: readonly Arm[]): Player {
  const counts = arms.map(() => 0);
  const sums = arms.map(() => 0);
  // A reward's variance is at most .25; before any reward an arm is worth .5, give or take as much as a coin.
  const belief = (_arm: Arm, index: number): Belief => {
    const count = (counts[index] as number) + 1;
    return { mean: ((sums[index] as number) + 0.5) / count, sd: Math.sqrt(0.25 / count) };
  };
  return {
    choose: (turn, _now, seed) => largestDraw(arms, arms.map(belief), turn, seed),
    learn: (turn, arm) => {
      counts[arm] = (counts[arm] as number) + 1;
      sums[arm] = (sums[arm] as number) + (turn.scores[arm] as number);
    },
  };
}

/** What the classifier expects, and nothing learnt. */
export function priorOnly(): Player {
  return {
    choose: ({ priors, charges }) => largest(priors.map((prior, arm) => prior - (charges[arm] as number))),
    learn: () => {},
  };
}
