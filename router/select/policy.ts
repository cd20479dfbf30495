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
};
