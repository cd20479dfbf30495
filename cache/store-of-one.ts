/** The store of a router that shares none: it has leases, and its layers keep the rest. */
import type { Clock } from './clock.ts';
import type { Store } from './port.ts';

export class StoreOfOne implements Store {
  readonly kind = 'memory';
  readonly #clock: Pick<Clock, 'now'>;
  readonly #leases = new Map<string, { readonly owner: string; readonly until: number }>();

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  async get() {
    return undefined;
  }

  async getAll(names: readonly string[]) {
    return names.map(() => undefined);
  }

  async set() {
    return false;
  }

  async delete() {
    return 0;
  }

  async take(name: string, owner: string, ttlMs: number) {
    const lease = this.#leases.get(name);
    const now = this.#clock.now();
    if (lease && lease.owner !== owner && lease.until > now) return 'busy';
    this.#leases.set(name, { owner, until: now + ttlMs });
    return 'taken';
  }

  async giveUp(name: string, owner: string) {
    if (this.#leases.get(name)?.owner === owner) this.#leases.delete(name);
  }

  async purge() {
    return 0;
  }

  async [Symbol.asyncDispose]() {
    this.#leases.clear();
  }
}
