/**
 * A log replayed under other policies: what the same decisions would have cost, earned and taken. Pure.
 *
 * An action is a model. Whether a choice may explore depends on a budget that earlier choices have used, not on the
 * request; so its propensity is taken over both cases: the share of decisions that were allowed to explore times the
 * chance of the draw, plus the rest for what was believed best. That holds for the log and, with the share that its
 * budget will permit, for the other policy. A decision that happened to be made without a draw then still tells about it.
 */
import type { Policies } from '../policy-file.ts';
import type { Comparison, Correction, Estimate } from './counterfactual.ts';
import { compare } from './counterfactual.ts';
import type { DecisionEntry, FeedbackEntry, LogEntry } from './decision-entry.ts';
import { warningsOf } from './replay-warnings.ts';
import type { Row } from './trials.ts';
import { modelSharesOf, Rows, samplesOf, supportOf, trialOf } from './trials.ts';

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
  /** One decision in so many of the log was taken, at random by its id; 1: all. */
  readonly oneIn: number;
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

/** Decisions that are kept at once. More would tell hardly anything more, and a log may have no end. */
const MAX_DECISIONS = 100_000;

export interface ReplayOptions {
  /** Whose decisions alone count; absent: everybody's. */
  readonly tenant?: string | undefined;
  readonly maxDecisions?: number;
}

export class Replay {
  readonly #policies: Policies;
  readonly #options: ReplayOptions;
  readonly #maker = new Rows();
  readonly #rows = new Map<string, Row>();
  /** By request: rewards that came later. */
  readonly #revised = new Map<string, Pick<FeedbackEntry, 'at' | 'reward' | 'rewardParts'>>();
  readonly #names = new Set<string>();
  #oneIn = 1;

  constructor(policies: Policies, options: ReplayOptions = {}) {
    this.#policies = policies;
    this.#options = options;
  }

  /** In any order; a decision that comes twice counts once. */
  add(entry: LogEntry): void {
    const { tenant } = this.#options;
    if (tenant !== undefined && entry.tenant !== tenant) return;
    if (!this.#isTaken(entry.request)) return;
    if (entry.type === 'decision') this.#addDecision(entry);
    else this.#addFeedback(entry);
    const { maxDecisions = MAX_DECISIONS } = this.#options;
    while (this.#rows.size > maxDecisions || this.#revised.size > maxDecisions) this.#halve();
  }

  #addDecision(entry: DecisionEntry): void {
    if (this.#rows.has(entry.request)) return;
    const policy = this.#policies.policyFor(entry.tenant);
    this.#names.add(policy.name);
    this.#rows.set(entry.request, this.#maker.rowOf(entry, policy));
  }

  #addFeedback({ request, at, reward, rewardParts }: FeedbackEntry): void {
    if (at >= (this.#revised.get(request)?.at ?? '')) this.#revised.set(request, { at, reward, rewardParts });
  }

  #isTaken(request: string): boolean {
    return hashOf(request) % this.#oneIn === 0;
  }

  #halve(): void {
    this.#oneIn *= 2;
    for (const kept of [this.#rows, this.#revised]) {
      for (const request of kept.keys()) if (!this.#isTaken(request)) kept.delete(request);
    }
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
      oneIn: this.#oneIn,
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

/** FNV-1a, with an avalanche for its low bits: ids that differ by little are as good as drawn. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
