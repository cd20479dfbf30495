/** What tenants have spent here since the others were told last. Pure. */
import type { Spent } from '../trust/quotas.ts';
import type { News } from './news.ts';

export class Spending {
  readonly #tenants = new Map<string, { requests: number; tokens: number }>();

  add(tenant: string, { requests, tokens }: Spent): void {
    const sum = this.#tenants.get(tenant) ?? { requests: 0, tokens: 0 };
    this.#tenants.set(tenant, sum);
    sum.requests += requests;
    sum.tokens += tokens;
  }

  /** Once. */
  take(at: number): News[] {
    const all = [...this.#tenants].filter(([, { requests, tokens }]) => requests !== 0 || tokens !== 0);
    this.#tenants.clear();
    return all.map(([tenant, spent]) => ({ kind: 'spent', at, tenant, ...spent }));
  }
}
