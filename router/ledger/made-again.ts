/** A logged decision made again, as it was or under another policy. Pure. */
import { choose } from '../select/pick.ts';
import type { Policy, Preference } from '../select/policy.ts';
import type { DecisionEntry, LoggedCandidate } from './decision-entry.ts';

/** How likely a policy is to take which model in one decision. */
export interface Chances {
  /** Model that it takes when it may not explore. */
  readonly best: string;
  /** By model: how likely it is to be drawn when it may. */
  readonly drawn: ReadonlyMap<string, number>;
  /** The budget for exploration does not matter: the request, or the policy, rules it out. */
  readonly neverExplores: boolean;
}

export interface Choices extends Chances {
  /** By model: the candidate it would take. */
  readonly candidates: ReadonlyMap<string, LoggedCandidate>;
}

/** As the log has it; where it was not allowed to explore, what it would have drawn otherwise is found again. */
export function asItWas(entry: DecisionEntry): Chances {
  const { candidates, preference, switchMargin, withoutExploration } = entry;
  const chosen = candidates[entry.chosen] as LoggedCandidate;
  const terms: Terms = { preference, switchMargin, stayWith: entry.stayWith };
  const best = entry.explored ? modelAt(candidates, withoutDraw(candidates, terms).index) : chosen.model;
  const drawn = entry.mayExplore ? new Map(Object.entries(entry.propensities)) : drawnFrom(candidates, terms, best);
  return { best, drawn, neverExplores: withoutExploration };
}

/** @returns undefined when the policy permits none of the candidates */
export function underPolicy(entry: DecisionEntry, policy: Policy): Choices | undefined {
  const permitted = entry.candidates.filter((candidate) => permits(policy, candidate));
  if (permitted.length === 0) return undefined;
  const preference = entry.ownPreference ? entry.preference : policy.preference;
  const terms: Terms = { preference, switchMargin: policy.switchMargin, stayWith: entry.stayWith };
  const believed = withoutDraw(permitted, terms);
  const best = modelAt(permitted, believed.index);
  const neverExplores = entry.withoutExploration || policy.exploration === 0;
  const drawn = neverExplores ? new Map([[best, 1]]) : drawnFrom(permitted, terms, best);
  return { best, drawn, candidates: nearestByModel(permitted, believed.distances), neverExplores };
}

/** How likely it is to be deviated from the best model when it may explore. */
export function deviation({ best, drawn }: Chances): number {
  return 1 - (drawn.get(best) ?? 0);
}

/** @param exploring share of such decisions that may explore @returns probability of the model */
export function probabilityOf({ best, drawn, neverExplores }: Chances, model: string, exploring: number): number {
  const share = neverExplores ? 0 : exploring;
  return share * (drawn.get(model) ?? 0) + (1 - share) * Number(model === best);
}

interface Terms {
  readonly preference: Preference;
  readonly switchMargin: number;
  readonly stayWith: string | undefined;
}

/** Probabilities come without a draw, so that any seed will do. */
const SEED = 0;

function withoutDraw(candidates: readonly LoggedCandidate[], terms: Terms): ReturnType<typeof choose> {
  return choose(candidates, { ...terms, explore: false, seed: SEED });
}

function modelAt(candidates: readonly LoggedCandidate[], index: number): string {
  return (candidates[index] as LoggedCandidate).model;
}

function drawnFrom(candidates: readonly LoggedCandidate[], terms: Terms, best: string): ReadonlyMap<string, number> {
  const { propensities } = choose(candidates, { ...terms, explore: true, seed: SEED });
  return propensities.size > 0 ? propensities : new Map([[best, 1]]);
}

/** Of each model the candidate nearest to the ideal, which is the one it competes by. */
function nearestByModel(
  candidates: readonly LoggedCandidate[],
  distances: ArrayLike<number>,
): ReadonlyMap<string, LoggedCandidate> {
  const nearest = new Map<string, number>();
  candidates.forEach(({ model }, i) => {
    const other = nearest.get(model);
    if (other === undefined || (distances[i] as number) < (distances[other] as number)) nearest.set(model, i);
  });
  return new Map([...nearest].map(([model, i]) => [model, candidates[i] as LoggedCandidate]));
}

function permits({ models, deny, zones, limits }: Policy, candidate: LoggedCandidate): boolean {
  const { model, zone = '', costUsd, latencyMs, firstTokenMs, quality } = candidate;
  return (
    (models.length === 0 || models.includes(model)) &&
    !deny.includes(model) &&
    (zones.length === 0 || zones.includes(zone)) &&
    costUsd <= (limits.maxCostUsd ?? Number.POSITIVE_INFINITY) &&
    latencyMs <= (limits.maxLatencyMs ?? Number.POSITIVE_INFINITY) &&
    firstTokenMs <= (limits.maxFirstTokenMs ?? Number.POSITIVE_INFINITY) &&
    quality.mean >= (limits.minQuality ?? 0)
  );
}
