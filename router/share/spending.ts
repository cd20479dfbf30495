/** What tenants have spent here since the others were told last, by when. Pure. */
import type { Spent } from '../trust/quotas.ts';
import type { News } from './news.ts';

/** What is spent within so long is told as one. */
const SLOT_MS = 5000;
/** What is older has been refilled where it would be heard. */
const KEPT_MS = 60_000;

interface Slot {
  /** When its first was spent, and its last, in ms. */
  readonly from: number;
  to: number;
  readonly tenants: Map<string, { requests: number; tokens: number }>;
}

export class Spending {
  /** The oldest first. */
  #slots: Slot[] = [];

  add(tenant: string, { requests, tokens }: Spent, now: number): void {
    const slot = this.#slotOf(now);
    const { tenants } = slot;
    slot.to = now;
    const sum = tenants.get(tenant) ?? { requests: 0, tokens: 0 };
    tenants.set(tenant, sum);
    sum.requests += requests;
    sum.tokens += tokens;
  }

  #slotOf(now: number): Slot {
    const last = this.#slots.at(-1);
    if (last && now - last.from < SLOT_MS) return last;
    const slot = { from: now, to: now, tenants: new Map() };
    this.#slots = [...this.#slots.filter(({ to }) => now - to < KEPT_MS), slot];
    return slot;
  }

  /** Once, the oldest first. @param most so many; the rest stays for the next time */
  take(most: number): News[] {
    const news: News[] = [];
    for (const { to: at, tenants } of this.#slots) {
      for (const [tenant, { requests, tokens }] of tenants) {
        if (news.length >= most) return news;
        tenants.delete(tenant);
        if (requests !== 0 || tokens !== 0) news.push({ kind: 'spent', at, tenant, requests, tokens });
      }
    }
    this.#slots = [];
    return news;
  }
}
