/**
 * What a replay keeps of each decision, and what the estimators are given of it. Pure. There are many rows, so a row is
 * small: of the models that come into question the figures that count, and names that all rows share.
 */
import type { Policy } from '../select/policy.ts';
import type { Sample } from './counterfactual.ts';
import { effectiveSize } from './counterfactual.ts';
import type { DecisionEntry, FeedbackEntry, LoggedCandidate } from './decision-entry.ts';
import type { Chances, Choices } from './made-again.ts';
import { asItWas, deviation, probabilityOf, underPolicy } from './made-again.ts';
import type { Figure, ModelShares, Support } from './replay.ts';

/** Less than this is as good as never: one such answer would weigh as a thousand. */
const HARDLY_EVER = 0.001;
const CERTAIN = 0.999;

/** A model that can be taken, with what was expected of it. */
interface Action extends Readonly<Record<Figure, number>> {
  readonly model: string;
  readonly tier: number;
}

export interface Row {
  readonly at: string;
  readonly chosen: Action;
  readonly observed: Partial<Record<Figure, number>>;
  /** Its reward is. */
  readonly silent: boolean;
  readonly logged: Chances;
  readonly loggedBudget: Budget;
  /** Undefined where the policy permits nothing that was at hand. */
  readonly target: (Chances & { readonly actions: readonly Action[] }) | undefined;
  readonly targetBudget: Budget;
}

/** What a tenant's choices under one policy came to, as far as they may explore at all. */
interface Budget {
  readonly share: number;
  decisions: number;
  /** Sum over the decisions of the chance to deviate from what is believed best. */
  deviations: number;
  allowed: number;
}

/** Makes rows of entries. */
export class Rows {
  readonly #budgets = new Map<string, Budget>();
  readonly #names = new Map<string, string>();

  /** @param policy the one to be tried on it */
  rowOf(entry: DecisionEntry, policy: Policy): Row {
    const { tenant = '', outcome } = entry;
    const logged = asItWas(entry);
    const target = underPolicy(entry, policy);
    const loggedBudget = this.#budget(`logged ${entry.policy} ${tenant}`, 0);
    const targetBudget = this.#budget(`target ${tenant}`, policy.exploration);
    spend(loggedBudget, logged, entry.mayExplore);
    if (target) spend(targetBudget, target, true);
    return {
      at: entry.at,
      chosen: this.#action(entry.candidates[entry.chosen] as LoggedCandidate),
      observed: observedIn(entry),
      silent: isSilence(outcome.rewardParts),
      logged: this.#chances(logged),
      loggedBudget,
      target: target && { ...this.#chances(target), actions: this.#actions(target) },
      targetBudget,
    };
  }

  #budget(key: string, share: number): Budget {
    const budget = this.#budgets.get(key) ?? { share, decisions: 0, deviations: 0, allowed: 0 };
    this.#budgets.set(key, budget);
    return budget;
  }

  #chances({ best, drawn, neverExplores }: Chances): Chances {
    const named = [...drawn].map(([model, chance]) => [this.#name(model), chance] as const);
    return { best: this.#name(best), drawn: new Map(named), neverExplores };
  }

  #actions({ best, drawn, candidates }: Choices): Action[] {
    const inQuestion = [...candidates.values()].filter(({ model }) => model === best || (drawn.get(model) ?? 0) > 0);
    return inQuestion.map((candidate) => this.#action(candidate));
  }

  #action({ model, tier, costUsd, latencyMs, quality }: LoggedCandidate): Action {
    return { model: this.#name(model), tier, costUsd, latencyMs, reward: quality.mean };
  }

  #name(model: string): string {
    const known = this.#names.get(model);
    if (known === undefined) this.#names.set(model, model);
    return known ?? model;
  }
}

function spend(budget: Budget, choices: Chances, allowed: boolean): void {
  if (choices.neverExplores) return;
  budget.decisions++;
  budget.deviations += deviation(choices);
  if (allowed) budget.allowed++;
}

function observedIn({ outcome }: DecisionEntry): Partial<Record<Figure, number>> {
  const complete = outcome.finish !== 'failed' && outcome.finish !== 'cancelled';
  return {
    costUsd: outcome.costUsd,
    ...(outcome.reward === undefined ? {} : { reward: outcome.reward }),
    ...(complete ? { latencyMs: outcome.latencyMs } : {}),
  };
}

function isSilence(parts: Readonly<Record<string, number>> | undefined): boolean {
  return parts !== undefined && Object.keys(parts).every((part) => part === 'unremarked');
}

/** A decision as the estimators see it. */
export interface Trial {
  readonly weight: number;
  readonly propensity: number;
  readonly untried: number;
  readonly silent: boolean;
  readonly observed: Partial<Record<Figure, number>>;
  readonly chosen: Action;
  readonly target: readonly { readonly action: Action; readonly probability: number }[];
}

/** @param revised a later reward, in place of the row's @returns undefined for a request that would be refused */
export function trialOf(row: Row, revised: Pick<FeedbackEntry, 'reward' | 'rewardParts'> | undefined): Trial | undefined {
  const { chosen, logged, target, observed, loggedBudget, targetBudget } = row;
  if (!target) return undefined;
  const { decisions, allowed } = loggedBudget;
  const exploring = decisions > 0 ? allowed / decisions : 0;
  const { share, decisions: count, deviations } = targetBudget;
  const permitted = deviations > 0 ? Math.min(1, (share * count + 1) / deviations) : 1;
  const logs = (model: string) => probabilityOf(logged, model, exploring);
  const takes = (model: string) => probabilityOf(target, model, permitted);
  const shares = target.actions.map((action) => ({ action, probability: takes(action.model) }));
  const untried = shares.filter(({ action }) => logs(action.model) < HARDLY_EVER);
  const propensity = logs(chosen.model);
  return {
    weight: propensity > 0 ? takes(chosen.model) / propensity : 0,
    propensity,
    untried: untried.reduce((sum, { probability }) => sum + probability, 0),
    observed: revised ? { ...observed, reward: revised.reward } : observed,
    silent: revised ? isSilence(revised.rewardParts) : row.silent,
    chosen,
    target: shares,
  };
}

export function samplesOf(trials: readonly Trial[], figure: Figure): Sample[] {
  return trials.flatMap(({ weight, observed, chosen, target }) => {
    const value = observed[figure];
    if (value === undefined) return [];
    const of = (action: Action) => ({ model: action.model, expected: action[figure] });
    return {
      weight,
      observed: value,
      chosen: of(chosen),
      target: target.map(({ action, probability }) => ({ ...of(action), probability })),
    };
  });
}

export function supportOf(trials: readonly Trial[]): Support {
  const { size, meanWeight } = effectiveSize(trials.map(({ weight }) => weight));
  const rewarded = trials.filter(({ observed }) => observed.reward !== undefined);
  const mean = (of: (trial: Trial) => number) => trials.reduce((sum, trial) => sum + of(trial), 0) / Math.max(1, trials.length);
  return {
    effectiveDecisions: size,
    meanWeight,
    untried: mean(({ untried }) => untried),
    certain: mean(({ propensity }) => Number(propensity >= CERTAIN)),
    silent: rewarded.filter(({ silent }) => silent).length / Math.max(1, rewarded.length),
  };
}

export function modelSharesOf(trials: readonly Trial[]): ModelShares[] {
  const models = new Map<string, { tier: number; logged: number; replayed: number }>();
  const count = ({ model, tier }: Action, name: 'logged' | 'replayed', share: number) => {
    const shares = models.get(model) ?? { tier, logged: 0, replayed: 0 };
    shares[name] += share / trials.length;
    models.set(model, shares);
  };
  for (const { chosen, target } of trials) {
    count(chosen, 'logged', 1);
    for (const { action, probability } of target) count(action, 'replayed', probability);
  }
  return [...models].map(([model, shares]) => ({ model, ...shares })).toSorted((a, b) => b.replayed - a.replayed);
}
