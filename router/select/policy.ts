/** What a router weighs, permits and forbids, for everybody or one tenant. Types and defaults; see docs/choosing.md. */

/** Weights of the four objectives; 0 or more, at least one over 0, scaled to a sum of 1 where they are used. */
export interface Preference {
  readonly cost: number;
  readonly quality: number;
  readonly latency: number;
  readonly diversity: number;
}

/** Hard; undefined does not limit. */
export interface Limits {
  readonly maxCostUsd?: number;
  readonly maxLatencyMs?: number;
  readonly maxFirstTokenMs?: number;
  readonly minQuality?: number;
}

/** What may come from the cache; see docs/caching.md. */
export interface CachePolicy {
  /** Whether answers that were drawn by chance may be used again. */
  readonly sampled: boolean;
  /** How long an answer may be used again. */
  readonly ttlSeconds: number;
  /** Whether the answer to another prompt that means the same will do. */
  readonly semantic: boolean;
  /** Least cosine of two such prompts, 0 to 1. */
  readonly similarity: number;
  /** Share of semantic hits that are also generated anew and compared, 0 to 1. */
  readonly checkShare: number;
  /** Share of them that may say something else before such hits are switched off, 0 to 1. */
  readonly falseHits: number;
}

export interface Policy {
  readonly name: string;
  readonly preference: Preference;
  readonly limits: Limits;
  /** Models that may answer; empty: all. */
  readonly models: readonly string[];
  /** Models that may not. */
  readonly deny: readonly string[];
  /** Zones that may answer; empty: all. */
  readonly zones: readonly string[];
  /** Largest share of choices that may differ from the one believed best, 0 to 1; 0 never explores. */
  readonly exploration: number;
  /** How much nearer to the ideal point another model must be before a conversation moves to it, 0 to 1. */
  readonly switchMargin: number;
  /** What an answer's cost is compared with; undefined: the strongest model that could have answered. */
  readonly reference: string | undefined;
  /** For models without a price, which cost power x time. */
  readonly usdPerKwh: number;
  readonly cache: CachePolicy;
}

export const DEFAULT_POLICY: Policy = {
  name: 'default',
  preference: { cost: 0.25, quality: 0.5, latency: 0.2, diversity: 0.05 },
  limits: {},
  models: [],
  deny: [],
  zones: [],
  exploration: 0.1,
  switchMargin: 0.1,
  reference: undefined,
  usdPerKwh: 0.3,
  cache: { sampled: false, ttlSeconds: 900, semantic: false, similarity: 0.9, checkShare: 0.05, falseHits: 0.02 },
};

/** Whether a model may answer at all. */
export function allows({ models, deny }: Pick<Policy, 'models' | 'deny'>, model: string): boolean {
  return (models.length === 0 || models.includes(model)) && !deny.includes(model);
}

/** What a caller may ask of its own request. */
export interface Wishes {
  readonly preference: Preference | undefined;
  readonly limits: Limits | undefined;
  readonly zones: readonly string[];
}

/**
 * The policy for one request: the caller's preference replaces the policy's, of two limits the stricter holds, and
 * zones must be permitted by both.
 * @returns undefined when the policy permits none of the caller's zones
 */
export function policyFor(policy: Policy, { preference, limits = {}, zones }: Wishes): Policy | undefined {
  const permitted = zones.length === 0 ? policy.zones : zones.filter((zone) => isPermitted(policy.zones, zone));
  if (zones.length > 0 && permitted.length === 0) return undefined;
  return {
    ...policy,
    preference: normalised(preference ?? policy.preference),
    limits: stricter(policy.limits, limits),
    zones: permitted,
  };
}

function isPermitted(zones: readonly string[], zone: string): boolean {
  return zones.length === 0 || zones.includes(zone);
}

/** The same weights with a sum of 1. @throws RangeError for weights that weigh nothing */
export function normalised({ cost, quality, latency, diversity }: Preference): Preference {
  const sum = cost + quality + latency + diversity;
  if (!(sum > 0) || Math.min(cost, quality, latency, diversity) < 0) {
    throw new RangeError(`a preference needs weights of 0 or more and one over 0, received a sum of ${sum}`);
  }
  return { cost: cost / sum, quality: quality / sum, latency: latency / sum, diversity: diversity / sum };
}

function stricter(one: Limits, other: Limits): Limits {
  return {
    ...bounded('maxCostUsd', Math.min, one, other),
    ...bounded('maxLatencyMs', Math.min, one, other),
    ...bounded('maxFirstTokenMs', Math.min, one, other),
    ...bounded('minQuality', Math.max, one, other),
  };
}

function bounded(name: keyof Limits, pick: (...values: number[]) => number, one: Limits, other: Limits): Limits {
  const values = [one[name], other[name]].filter((value) => value !== undefined);
  return values.length === 0 ? {} : { [name]: pick(...values) };
}
