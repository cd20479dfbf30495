/** A decision as clients, traces and `infermesh explain` see it. Pure. */
import type * as wire from '../../proto/gen/infermesh/v1/inference.ts';
import { Complexity, Tier } from '../../proto/gen/infermesh/v1/types.ts';
import type { RequestEvent } from '../../telemetry/events.ts';
import type { TierName } from '../classify/classification.ts';
import type { Considered, Decision } from './candidate.ts';
import type { Judged } from './choice.ts';
import { crowding } from './pareto.ts';

const COMPLEXITY = {
  simple: Complexity.COMPLEXITY_SIMPLE,
  moderate: Complexity.COMPLEXITY_MODERATE,
  complex: Complexity.COMPLEXITY_COMPLEX,
} as const;

const TIER: readonly (readonly [TierName, Tier])[] = [
  ['fast', Tier.TIER_FAST],
  ['balanced', Tier.TIER_BALANCED],
  ['quality', Tier.TIER_QUALITY],
  ['cloud', Tier.TIER_CLOUD],
];

const excluded = ({ exclusion }: Considered) => exclusion !== undefined;

export function decisionMessage(decision: Decision): wire.Decision {
  const { classification, considered, policy, preference, explored, reason } = decision;
  const { task, complexity, domain, language, expectedOutputTokens, suffices, followUp } = classification;
  const best = decision.chosen ?? decision.awaited;
  return {
    task,
    reason,
    considered: considered.length,
    excluded: considered.filter(excluded).length,
    complexity: COMPLEXITY[complexity],
    domain,
    language,
    expectedOutputTokens: Math.round(expectedOutputTokens),
    tiers: TIER.map(([name, tier]) => ({ tier, probability: suffices[name] })),
    followUp,
    policy,
    preference: { ...preference },
    propensity: best?.standing?.propensity ?? 0,
    explored,
    objectives: objectivesMessage(best?.judged),
  };
}

function objectivesMessage(judged: Judged | undefined): wire.Objectives | undefined {
  if (!judged) return undefined;
  const { quality, costUsd, latencyMs, diversity } = judged;
  return { quality: quality.mean, qualitySd: quality.sd, costUsd, latencyMs, diversity };
}

/** The best one first, free or not; then those that could serve by distance, then the others by time. */
export function explanation(decision: Decision): wire.ExplainResponse {
  const best = decision.chosen ?? decision.awaited;
  const ordered = decision.considered.toSorted((a, b) => place(a, best) - place(b, best) || byPromise(a, b));
  const distances = crowdingOf(ordered);
  const candidates = ordered.map((one) => candidateMessage(one, one === decision.chosen, distances.get(one) ?? 0));
  return { decision: decisionMessage(decision), candidates };
}

function place(one: Considered, best: Considered | undefined): number {
  return one === best ? 0 : one.standing ? 1 : 2;
}

function byPromise(a: Considered, b: Considered): number {
  const nearer = (a.standing?.distance ?? 0) - (b.standing?.distance ?? 0);
  return nearer || a.estimate.totalMs - b.estimate.totalMs || (nameOf(a) < nameOf(b) ? -1 : 1);
}

function nameOf({ candidate: { node, model } }: Considered): string {
  return `${model.name} ${node}`;
}

function crowdingOf(all: readonly Considered[]): ReadonlyMap<Considered, number> {
  const front = all.filter(({ standing }) => standing?.onFront);
  const column = (loss: (judged: Judged, one: Considered) => number) => front.map((one) => loss(one.judged as Judged, one));
  const columns = [
    column((_, { standing }) => -(standing?.drawn ?? 0)),
    column(({ costUsd }) => costUsd),
    column(({ latencyMs }) => latencyMs),
    column(({ diversity }) => -diversity),
  ];
  const found = crowding(columns, [...front.keys()]);
  return new Map(front.map((one, i) => [one, found[i] as number]));
}

function candidateMessage(one: Considered, chosen: boolean, crowdingDistance: number): wire.Candidate {
  const { candidate, estimate, exclusion, judged, standing, cachedTokens, session } = one;
  return {
    node: candidate.node,
    model: candidate.model.name,
    chosen,
    exclusion: exclusion?.reason ?? '',
    expectedWaitMs: estimate.waitMs,
    expectedFirstTokenMs: estimate.firstTokenMs,
    expectedTotalMs: estimate.totalMs,
    objectives: objectivesMessage(judged),
    onFront: standing?.onFront ?? false,
    crowding: crowdingDistance,
    distance: standing?.distance ?? 0,
    drawnQuality: standing?.drawn ?? 0,
    propensity: standing?.propensity ?? 0,
    cachedPromptTokens: Math.floor(cachedTokens),
    session,
  };
}

type Decided = Extract<RequestEvent, { type: 'decided' }>;

/** @param chosen what the request goes to @returns an event whose exclusions are put into words when they are read */
export function decidedEvent(decision: Decision, chosen: Considered): Decided {
  return new DecidedEvent(decision, chosen);
}

/** A class for its getter: that of an object literal costs a hidden class each time, which outlives young collections. */
class DecidedEvent {
  readonly type = 'decided';
  readonly node: string;
  readonly model: string;
  readonly reason: string;
  readonly considered: number;
  readonly expectedWaitMs: number;
  readonly expectedFirstTokenMs: number;
  readonly policy: string;
  readonly preference: Decision['preference'];
  readonly propensity: number;
  readonly explored: boolean;
  readonly objectives?: Decided['objectives'];
  readonly #all: readonly Considered[];

  constructor(decision: Decision, { candidate, estimate, judged, standing }: Considered) {
    this.node = candidate.node;
    this.model = candidate.model.name;
    this.reason = decision.reason;
    this.considered = decision.considered.length;
    this.expectedWaitMs = estimate.waitMs;
    this.expectedFirstTokenMs = estimate.firstTokenMs;
    this.policy = decision.policy;
    this.preference = decision.preference;
    this.propensity = standing?.propensity ?? 0;
    this.explored = decision.explored;
    const objectives = objectivesMessage(judged);
    if (objectives) this.objectives = objectives;
    this.#all = decision.considered;
  }

  get excluded(): Decided['excluded'] {
    return this.#all.flatMap(({ candidate: { node, model }, exclusion }) =>
      exclusion ? [{ node, model: model.name, reason: exclusion.reason }] : [],
    );
  }
}
