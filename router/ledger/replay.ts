/**
 * A log replayed under other policies: what the same decisions would have cost, earned and taken. Pure.
 *
 * An action is a model. Whether a choice may explore depends on a budget that earlier choices have used, not on the
 * request; so its propensity is taken over both cases: the share of decisions that were allowed to explore times the
 * chance of the draw, plus the rest for what was believed best. That holds for the log and, with the share that its
 * budget will permit, for the other policy. A decision that happened to be made without a draw then still tells about it.
 */
import type { Policies } from '../policy-file.ts';
import type { Comparison, Correction, Estimate, Sample } from './counterfactual.ts';
import { compare, effectiveSize } from './counterfactual.ts';
import type { DecisionEntry, FeedbackEntry, LogEntry, LoggedCandidate } from './decision-entry.ts';
import type { Choices } from './made-again.ts';
import { asItWas, deviation, probabilityOf, underPolicy } from './made-again.ts';
import { warningsOf } from './replay-warnings.ts';

/** What is compared, and how the router's expectations of it are corrected. */
export const FIGURES = { costUsd: 'ratio', reward: 'difference', latencyMs: 'ratio' } as const satisfies Record<
  string,
  Correction
>;
export type Figure = keyof typeof FIGURES;

export interface ReplayReport {
  /** Names of the policies that were tried. */
  readonly policies: readonly string[];
  readonly decisions: number;
  /** Of them, those for which the policy permits nothing that was at hand; the figures are about the others. */
  readonly refused: number;
  /** ISO times of the first decision and the last. */
  readonly from: string;
  readonly to: string;
  /** Absent where fewer than two decisions tell. Cost of all, reward of those with one, latency of complete answers. */
  readonly figures: Readonly<Partial<Record<Figure, Comparison>>>;
  readonly support: Support;
  /** By how often the policy takes them. */
  readonly models: readonly ModelShares[];
  /** Why not to trust the figures; one sentence each. */
  readonly warnings: readonly string[];
}

/** How much the log can tell about the policy. */
export interface Support {
  /** So many decisions of the policy's own would tell as much. */
  readonly effectiveDecisions: number;
  /** About 1 less `untried` where the propensities are true. */
  readonly meanWeight: Estimate | undefined;
  /** Share of its choices that the log hardly ever made, 0 to 1. */
  readonly untried: number;
  /** Share of the decisions where the log left nothing to chance, 0 to 1. */
  readonly certain: number;
  /** Share of the rewards that are silence, which counts as what the router expected, 0 to 1. */
  readonly silent: number;
}

/** Shares of the decisions, 0 to 1. */
export interface ModelShares {
  readonly model: string;
  readonly tier: number;
  readonly logged: number;
  readonly replayed: number;
}

/** Less than this is as good as never: one such answer would weigh as a thousand. */
const HARDLY_EVER = 0.001;
const CERTAIN = 0.999;

interface Row {
  readonly at: string;
  readonly chosen: LoggedCandidate;
  readonly observed: Partial<Record<Figure, number>>;
  /** Its reward is. */
  readonly silent: boolean;
  readonly logged: Choices;
  readonly loggedBudget: Budget;
  readonly target: Choices | undefined;
  readonly targetBudget: Budget;
}

/** Who shares one, and what it came to. */
interface Budget {
  share: number;
  decisions: number;
  /** Of decisions that would deviate if they might, the sum of their chances. */
  deviations: number;
  allowed: number;
}

export class Replay {
  readonly #policies: Policies;
  readonly #tenant: string | undefined;
  readonly #rows = new Map<string, Row>();
  readonly #loggedBudgets = new Map<string, Budget>();
  readonly #targetBudgets = new Map<string, Budget>();
  /** By request: rewards that came later. */
  readonly #revised = new Map<string, Pick<FeedbackEntry, 'at' | 'reward' | 'rewardParts'>>();
  readonly #names = new Set<string>();

  /** @param tenant whose decisions alone count; undefined: everybody's */
  constructor(policies: Policies, tenant?: string) {
    this.#policies = policies;
    this.#tenant = tenant;
  }

  /** In any order; a decision that comes twice counts once. */
  add(entry: LogEntry): void {
    if (this.#tenant !== undefined && entry.tenant !== this.#tenant) return;
    if (entry.type === 'decision') this.#addDecision(entry);
    else if (entry.at >= (this.#revised.get(entry.request)?.at ?? '')) this.#revised.set(entry.request, entry);
  }

  #addDecision(entry: DecisionEntry): void {
    if (this.#rows.has(entry.request)) return;
    const { tenant = '', policy: loggedPolicy } = entry;
    const policy = this.#policies.policyFor(entry.tenant);
    const logged = asItWas(entry);
    const target = underPolicy(entry, policy);
    const loggedBudget = budgetIn(this.#loggedBudgets, `${loggedPolicy} ${tenant}`, 0);
    const targetBudget = budgetIn(this.#targetBudgets, tenant, policy.exploration);
    spend(loggedBudget, logged, entry.mayExplore);
    if (target) spend(targetBudget, target, true);
    this.#names.add(policy.name);
    const chosen = entry.candidates[entry.chosen] as LoggedCandidate;
    const told = { observed: observedIn(entry), silent: isSilence(entry.outcome.rewardParts) };
    this.#rows.set(entry.request, { at: entry.at, chosen, ...told, logged, loggedBudget, target, targetBudget });
  }

  /** @returns undefined without any decision */
  report(): ReplayReport | undefined {
    if (this.#rows.size === 0) return undefined;
    const trials = [...this.#rows].flatMap(([request, row]) => trialOf(row, this.#revised.get(request)) ?? []);
    const figures: Partial<Record<Figure, Comparison>> = {};
    for (const figure of Object.keys(FIGURES) as Figure[]) {
      const comparison = compare(samplesOf(trials, figure), FIGURES[figure]);
      if (comparison) figures[figure] = comparison;
    }
    const times = [...this.#rows.values()].map(({ at }) => at).sort();
    const report = {
      policies: [...this.#names].sort(),
      decisions: this.#rows.size,
      refused: this.#rows.size - trials.length,
      from: times[0] as string,
      to: times.at(-1) as string,
      figures,
      support: supportOf(trials),
      models: modelSharesOf(trials),
    };
    return { ...report, warnings: warningsOf(report) };
  }
}

function budgetIn(budgets: Map<string, Budget>, key: string, share: number): Budget {
  const budget = budgets.get(key) ?? { share, decisions: 0, deviations: 0, allowed: 0 };
  budgets.set(key, budget);
  return budget;
}

function spend(budget: Budget, choices: Choices, allowed: boolean): void {
  if (choices.neverExplores) return;
  budget.decisions++;
  budget.deviations += deviation(choices);
  if (allowed) budget.allowed++;
}

/** Rewards of later feedback take the place of what is here. */
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
interface Trial {
  readonly weight: number;
  readonly propensity: number;
  readonly untried: number;
  readonly silent: boolean;
  readonly observed: Partial<Record<Figure, number>>;
  readonly chosen: LoggedCandidate;
  readonly target: readonly { readonly candidate: LoggedCandidate; readonly probability: number }[];
}

function trialOf(row: Row, revised: Pick<FeedbackEntry, 'reward' | 'rewardParts'> | undefined): Trial | undefined {
  const { chosen, logged, target, observed } = row;
  if (!target) return undefined;
  const { decisions, allowed } = row.loggedBudget;
  const exploring = decisions > 0 ? allowed / decisions : 0;
  const { share, decisions: count, deviations } = row.targetBudget;
  const permitted = deviations > 0 ? Math.min(1, (share * count + 1) / deviations) : 1;
  const logs = (model: string) => probabilityOf(logged, model, exploring);
  const takes = (model: string) => probabilityOf(target, model, permitted);
  const shares = [...target.candidates]
    .map(([model, candidate]) => ({ candidate, probability: takes(model) }))
    .filter(({ probability }) => probability > 0);
  const untried = shares.filter(({ candidate }) => logs(candidate.model) < HARDLY_EVER);
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

const EXPECTED: Readonly<Record<Figure, (candidate: LoggedCandidate) => number>> = {
  costUsd: ({ costUsd }) => costUsd,
  reward: ({ quality }) => quality.mean,
  latencyMs: ({ latencyMs }) => latencyMs,
};

function samplesOf(trials: readonly Trial[], figure: Figure): Sample[] {
  const of = (candidate: LoggedCandidate) => ({ model: candidate.model, expected: EXPECTED[figure](candidate) });
  return trials.flatMap(({ weight, observed, chosen, target }) => {
    const value = observed[figure];
    if (value === undefined) return [];
    const actions = target.map(({ candidate, probability }) => ({ ...of(candidate), probability }));
    return { weight, observed: value, chosen: of(chosen), target: actions };
  });
}

function supportOf(trials: readonly Trial[]): Support {
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

function modelSharesOf(trials: readonly Trial[]): ModelShares[] {
  const models = new Map<string, { tier: number; logged: number; replayed: number }>();
  const count = ({ model, tier }: LoggedCandidate, name: 'logged' | 'replayed', share: number) => {
    const shares = models.get(model) ?? { tier, logged: 0, replayed: 0 };
    shares[name] += share / trials.length;
    models.set(model, shares);
  };
  for (const { chosen, target } of trials) {
    count(chosen, 'logged', 1);
    for (const { candidate, probability } of target) count(candidate, 'replayed', probability);
  }
  return [...models].map(([model, shares]) => ({ model, ...shares })).toSorted((a, b) => b.replayed - a.replayed);
}
