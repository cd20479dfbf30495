/**
 * How often choices may differ from what is believed best: a token bucket for each tenant. Pure.
 *
 * Each choice puts in the share that the policy permits, each deviation takes out one, and without a whole one there is
 * none. A bucket begins with one and holds ten, so that deviations are never more than share x choices + 1, and a quiet
 * hour does not save up for a wild one. A share of 0 never explores.
 */
const FIRST = 1;
const CAP = 10;
/** Sums of shares such as 0.1 + 0.1 + ... may miss a whole one by this. */
const HAIR = 1e-9;
const MAX_TENANTS = 10_000;

export class ExplorationBudget {
  /** Least recently used first. */
  readonly #tokens = new Map<string, number>();
  readonly #maxTenants: number;

  constructor({ maxTenants = MAX_TENANTS }: { readonly maxTenants?: number } = {}) {
    this.#maxTenants = maxTenants;
  }

  /** @param share of the tenant's policy, 0 to 1 @returns whether the next choice may differ; changes nothing */
  may(tenant: string | undefined, share: number): boolean {
    return share > 0 && (this.#tokens.get(keyOf(tenant)) ?? FIRST) >= 1 - HAIR;
  }

  /** A choice was made. @param explored whether it differs from what was believed best */
  spent(tenant: string | undefined, share: number, explored: boolean): void {
    const key = keyOf(tenant);
    const before = this.#tokens.get(key) ?? FIRST;
    this.#tokens.delete(key);
    // What comes in at a full bucket is lost, what goes out is taken before.
    this.#tokens.set(key, Math.min(CAP, before - (explored ? 1 : 0) + share));
    if (this.#tokens.size > this.#maxTenants) this.#tokens.delete(this.#tokens.keys().next().value as string);
  }
}

/** Whoever has no name shares one bucket, which no tenant's name can reach. */
function keyOf(tenant: string | undefined): string {
  return tenant === undefined ? '' : `=${tenant}`;
}
