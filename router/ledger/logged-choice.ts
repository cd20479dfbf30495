/**
 * A decision as the log keeps it: what was in the choice and what decided. Pure. The candidate by which each model
 * competes comes first, then the rest of the front, so that a line too short for all can still be made again.
 */
import type { Ask, Considered, Decision } from '../select/candidate.ts';
import type { DecisionEntry, LoggedCandidate } from './decision-entry.ts';
import { boundedCandidates } from './decision-entry.ts';

export type LoggedChoice = Omit<DecisionEntry, 'v' | 'type' | 'at' | 'request' | 'tenant' | 'outcome'>;

export interface Asked {
  /** The request came with a preference. */
  readonly ownPreference: boolean;
  /** The request asked to be left out of exploration. */
  readonly withoutExploration: boolean;
}

/** @param chosen one of the decision's, with its figures @returns undefined for one that no choice was about */
export function choiceOf(
  decision: Decision,
  ask: Pick<Ask, 'policy' | 'mayExplore' | 'session'>,
  chosen: Considered,
  asked: Asked,
): LoggedChoice | undefined {
  const inChoice = inOrder(decision.considered.filter(({ judged, standing }) => judged && standing));
  const place = inChoice.indexOf(chosen);
  if (place < 0) return undefined;
  const bounded = boundedCandidates(inChoice, place);
  const { complexity, domain, task, language } = decision.classification;
  return {
    policy: decision.policy,
    context: { domain, complexity, task, language },
    preference: decision.preference,
    ...asked,
    mayExplore: ask.mayExplore && ask.policy.exploration > 0,
    ...(ask.session ? { stayWith: ask.session.model } : {}),
    switchMargin: ask.policy.switchMargin,
    candidates: bounded.kept.map(candidateOf),
    chosen: bounded.chosen,
    explored: decision.explored,
    propensity: chosen.standing?.propensity ?? 0,
    propensities: Object.fromEntries(decision.propensities),
  };
}

function inOrder(inChoice: readonly Considered[]): readonly Considered[] {
  const byDistance = inChoice.toSorted((a, b) => (a.standing?.distance ?? 0) - (b.standing?.distance ?? 0));
  const models = new Set<string>();
  const ranked = byDistance.map((one) => {
    const { name } = one.candidate.model;
    const rank = models.has(name) ? (one.standing?.onFront ? 1 : 2) : 0;
    models.add(name);
    return { one, rank };
  });
  return ranked.toSorted((a, b) => a.rank - b.rank).map(({ one }) => one);
}

function candidateOf({ candidate, estimate, judged }: Considered): LoggedCandidate {
  const { node, zone, model } = candidate;
  return {
    node,
    model: model.name,
    tier: model.tier,
    ...(zone === '' ? {} : { zone }),
    quality: { mean: judged?.quality.mean ?? 0, sd: judged?.quality.sd ?? 0 },
    costUsd: judged?.costUsd ?? 0,
    latencyMs: judged?.latencyMs ?? 0,
    firstTokenMs: estimate.firstTokenMs,
    diversity: judged?.diversity ?? 0,
  };
}
