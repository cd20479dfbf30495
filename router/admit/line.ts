/**
 * The order in which those who wait for the same get in. Pure.
 *
 * Streams that lost their node in the middle go before everybody. All others take turns by tenant: the tenant that was
 * given the fewest tokens goes next, so that of two tenants who both have requests waiting neither is ever ahead by more
 * than one request's tokens, however many of them wait. That is deficit round robin with the quantum that is just enough
 * for one request, also known as start-time fair queueing (Goyal, Vin, Cheng, 1996): a tenant that comes begins at the
 * count of the one served last, so nobody saves up turns while away, and one that leaves takes its debt along until the
 * others have caught up.
 *
 * Priorities are a tenant's own: they order its requests and take nothing from another tenant. A request of lower priority
 * stands as if it had come later, by `HANDICAP_MS`; so it rises as it waits, and nobody who came that much later is ahead.
 */
import { Queue } from './queue.ts';

export const PRIORITIES = ['high', 'normal', 'low'] as const;
export type Priority = (typeof PRIORITIES)[number];

/** By how much more a request has to wait to stand level with one of high priority. */
const HANDICAP_MS: Readonly<Record<Priority, number>> = { high: 0, normal: 10_000, low: 30_000 };

/** What decides about a waiter's place. */
export interface Place {
  /** Empty for whoever shows no credential. */
  readonly tenant: string;
  readonly priority: Priority;
  /** Tokens of the prompt and, as expected, of the answer. */
  readonly cost: number;
  /** In the middle of a stream. */
  readonly migrating: boolean;
}

export interface InLine {
  readonly place: Place;
  /** When it came, by the router's clock. */
  readonly since: number;
}

interface Tenant<W> {
  /** Tokens it was given, counted on from where it began. */
  served: number;
  size: number;
  readonly waiting: Readonly<Record<Priority, Queue<W>>>;
}

export class Line<W extends InLine> {
  readonly #migrating = new Queue<W>();
  readonly #tenants = new Map<string, Tenant<W>>();
  #size = 0;
  /** Where a tenant begins that comes now. */
  #level = 0;

  get size(): number {
    return this.#size;
  }

  /** Everybody, with how many of the same tenant and priority stand before it; nobody before a migrating one counts. */
  *[Symbol.iterator](): Generator<readonly [waiter: W, ahead: number]> {
    for (const waiter of this.#migrating) yield [waiter, 0];
    for (const { waiting } of this.#tenants.values()) {
      for (const priority of PRIORITIES) {
        let ahead = 0;
        for (const waiter of waiting[priority]) yield [waiter, ahead++];
      }
    }
  }

  add(waiter: W): void {
    this.#size++;
    const { tenant: name, priority, migrating } = waiter.place;
    if (migrating) {
      this.#migrating.add(waiter);
      return;
    }
    const tenant = this.#tenants.get(name) ?? newTenant<W>();
    this.#tenants.set(name, tenant);
    if (tenant.size === 0) tenant.served = Math.max(tenant.served, this.#level);
    tenant.size++;
    tenant.waiting[priority].add(waiter);
  }

  /** @param admitted whether it got what it waited for, which counts as its tenant's turn */
  remove(waiter: W, admitted: boolean): void {
    const { tenant: name, priority, migrating, cost } = waiter.place;
    if (migrating) {
      if (this.#migrating.delete(waiter)) this.#size--;
      return;
    }
    const tenant = this.#tenants.get(name);
    if (!tenant?.waiting[priority].delete(waiter)) return;
    this.#size--;
    tenant.size--;
    if (admitted) {
      this.#level = Math.max(this.#level, tenant.served);
      tenant.served += cost;
    }
    if (tenant.size === 0) this.#forgive(name, tenant);
  }

  /** Of those in the middle of a stream, the one to look next. */
  get migrant(): W | undefined {
    return this.#migrating.first;
  }

  /** It found nothing; each may need another node, so the next one looks before it does again. */
  passOver(migrant: W): void {
    if (this.#migrating.delete(migrant)) this.#migrating.add(migrant);
  }

  get migrants(): number {
    return this.#migrating.size;
  }

  /** Of all others, the one whose turn it is. */
  get head(): W | undefined {
    let next: Tenant<W> | undefined;
    for (const [name, tenant] of this.#tenants) {
      if (tenant.size === 0) this.#forgive(name, tenant);
      else if (!next || tenant.served < next.served) next = tenant;
    }
    return next && headOf(next);
  }

  /** A tenant that has nothing waiting is forgotten once the others have caught up with it. */
  #forgive(name: string, { served }: Tenant<W>): void {
    if (served <= this.#level) this.#tenants.delete(name);
  }

  /**
   * Whom a newcomer may take the place of when the line is full: the newest and least urgent of the tenant that has the
   * most waiting, if it has more than the newcomer's would then have, or else one of its own that is less urgent.
   */
  outranked({ tenant: name, priority }: Pick<Place, 'tenant' | 'priority'>): W | undefined {
    const own = this.#tenants.get(name);
    let most: Tenant<W> | undefined;
    for (const tenant of this.#tenants.values()) if (!most || tenant.size > most.size) most = tenant;
    if (most && most !== own && most.size > (own?.size ?? 0) + 1) return leastUrgent(most, 'high');
    return own && leastUrgent(own, priority, true);
  }
}

function newTenant<W>(): Tenant<W> {
  return { served: 0, size: 0, waiting: { high: new Queue(), normal: new Queue(), low: new Queue() } };
}

function headOf<W extends InLine>({ waiting }: Tenant<W>): W | undefined {
  let head: W | undefined;
  for (const priority of PRIORITIES) {
    const { first } = waiting[priority];
    if (first && (!head || standing(first) < standing(head))) head = first;
  }
  return head;
}

const standing = ({ since, place: { priority } }: InLine) => since + HANDICAP_MS[priority];

/** The newest of the lowest priority, down to the given one or only to those below it. */
function leastUrgent<W>({ waiting }: Tenant<W>, than: Priority, below = false): W | undefined {
  for (const priority of PRIORITIES.toReversed()) {
    if (priority === than && below) return undefined;
    const newest = waiting[priority].last;
    if (newest || priority === than) return newest;
  }
  return undefined;
}
