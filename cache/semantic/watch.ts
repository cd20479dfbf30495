/**
 * For each tenant, which hits are checked and what came of it. Pure.
 *
 *   on --(the checks tell that too many hits are false)--> stopped --(a purge)--> on, with nothing known
 *
 * The first hits are all checked, later ones by chance. A tenant that was stopped stays so until somebody lifts it, by a
 * purge or a restart of the router: nothing that was learnt since would tell that it is better now.
 */
import type { Checks } from './evidence.ts';
import { SPAN, tellsAgainst, upperRate } from './evidence.ts';

/** All of so many first hits are checked, whatever the share. */
export const FIRST_CHECKS = 20;

interface Watched {
  /** That began to be checked. */
  begun: number;
  checked: number;
  falseHits: number;
  /** Of the span that is running. */
  span: { checked: number; falseHits: number };
  stopped: boolean;
}

export interface WatchStats extends Checks {
  readonly upper: number;
  /** Tenants for whom the alarm went off. */
  readonly stopped: number;
}

export class Watch {
  readonly #tenants = new Map<string, Watched>();
  readonly #random: () => number;

  /** @param random from 0 to below 1 */
  constructor(random: () => number) {
    this.#random = random;
  }

  isStopped(tenant: string): boolean {
    return this.#tenants.get(tenant)?.stopped ?? false;
  }

  /** Whether to check the hit that there is now; then record or withdraw is called. */
  picks(tenant: string, share: number): boolean {
    const watched = this.#of(tenant);
    if (watched.stopped || share <= 0) return false;
    if (watched.begun >= FIRST_CHECKS && this.#random() >= share) return false;
    watched.begun++;
    return true;
  }

  /** A hit that was picked could not be checked. */
  withdraw(tenant: string): void {
    this.#of(tenant).begun--;
  }

  /**
   * @param limit share of hits that may be false, over 0, below 1
   * @returns whether this set the alarm off
   */
  record(tenant: string, isFalse: boolean, limit: number): boolean {
    const watched = this.#of(tenant);
    if (watched.span.checked >= SPAN) watched.span = { checked: 0, falseHits: 0 };
    for (const count of [watched, watched.span]) {
      count.checked++;
      if (isFalse) count.falseHits++;
    }
    if (watched.stopped || !tellsAgainst(watched.span, limit)) return false;
    watched.stopped = true;
    return true;
  }

  /** Of one tenant. */
  checks(tenant: string): Checks & { readonly upper: number } {
    const { checked, falseHits } = this.#tenants.get(tenant) ?? { checked: 0, falseHits: 0 };
    return { checked, falseHits, upper: upperRate({ checked, falseHits }) };
  }

  /** Lifts the alarm and forgets the checks. @param tenant undefined: of everybody */
  lift(tenant?: string): void {
    if (tenant === undefined) this.#tenants.clear();
    else this.#tenants.delete(tenant);
  }

  stats(): WatchStats {
    const all = [...this.#tenants.values()];
    const checked = all.reduce((sum, one) => sum + one.checked, 0);
    const falseHits = all.reduce((sum, one) => sum + one.falseHits, 0);
    return { checked, falseHits, upper: upperRate({ checked, falseHits }), stopped: all.filter(({ stopped }) => stopped).length };
  }

  #of(tenant: string): Watched {
    const known = this.#tenants.get(tenant);
    if (known) return known;
    const begun = { begun: 0, checked: 0, falseHits: 0, span: { checked: 0, falseHits: 0 }, stopped: false };
    this.#tenants.set(tenant, begun);
    return begun;
  }
}
