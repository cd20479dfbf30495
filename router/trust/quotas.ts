/**
 * What each tenant may use: requests and tokens by buckets that refill, streams by leases.
 *
 * A bucket holds a minute's worth at most, so in any span a tenant is let in for the rate x the span + one minute's worth.
 * Tokens are charged by estimate when a request begins and set right by what it used when it ends. What it used beyond
 * the estimate and beyond what is left is a debt that the refill pays first; the level is never below 0. A request that
 * is estimated larger than the bucket waits for a full one, and owes the rest. One that needs none, since its answer is in
 * the cache, is let in whatever is owed.
 *
 * What a tenant spends at other routers is taken from its buckets here as soon as it is heard of, so together they let in
 * what one would, and what is spent in the time that hearing takes. Streams are counted by each router for itself: one
 * that dies could not give them back.
 */
import { Fault } from '../../proto/contract/faults.ts';

/** What is not named is not bounded. */
export interface Quota {
  readonly requestsPerMinute?: number;
  readonly tokensPerMinute?: number;
  /** At the same time. */
  readonly streams?: number;
}

/** What a tenant has used up. */
export interface Spent {
  readonly requests: number;
  /** Below 0 for what was estimated before and not needed. */
  readonly tokens: number;
}

/** What one request holds; it frees itself once, however often it is told to. */
export interface QuotaLease extends Disposable {
  /**
   * Ends it, and sets its charge right.
   * @param tokens that were really read and generated; what is disposed of without has used none
   */
  settle(tokens: number): void;
}

const MINUTE_MS = 60_000;
/** When to come back for a stream: when one ends is not known here. */
const STREAM_RETRY_MS = 1000;

const FREE: QuotaLease = { settle() {}, [Symbol.dispose]() {} };

export class Quotas {
  readonly #now: () => number;
  readonly #quotaOf: (tenant: string) => Quota | undefined;
  readonly #accounts = new Map<string, Account>();
  /** Called with what is spent here. */
  onSpent: (tenant: string, spent: Spent) => void = () => {};

  /** @param now milliseconds, monotonic */
  constructor(now: () => number, quotaOf: (tenant: string) => Quota | undefined) {
    this.#now = now;
    this.#quotaOf = quotaOf;
  }

  /**
   * @param tenant undefined has no quota
   * @param tokens that it is expected to read and generate
   * @param before what the request was let in by, when it needed fewer: it ends, and the request is not counted again
   * @throws Fault QUOTA_EXCEEDED that says when to come back; nothing is charged then
   */
  enter(tenant: string | undefined, tokens: number, before?: QuotaLease): QuotaLease {
    before?.[Symbol.dispose]();
    const quota = tenant === undefined ? undefined : this.#quotaOf(tenant);
    if (tenant === undefined || !quota || Object.keys(quota).length === 0) return FREE;
    return this.#account(tenant).enter(quota, { requests: before ? 0 : 1, tokens: Math.max(0, Math.ceil(tokens)) });
  }

  /**
   * A tenant has spent as much at another router. Nothing is refused for it that has been let in.
   * @param agoMs what is a minute old has been refilled, and counts no more
   */
  spentElsewhere(tenant: string, { requests, tokens }: Spent, agoMs: number): void {
    const quota = this.#quotaOf(tenant);
    const left = 1 - Math.max(0, agoMs) / MINUTE_MS;
    if (!quota || !(left > 0)) return;
    this.#account(tenant).spentElsewhere(quota, { requests: requests * left, tokens: tokens * left });
  }

  #account(tenant: string): Account {
    const account = this.#accounts.get(tenant) ?? new Account(this.#now, (spent) => this.onSpent(tenant, spent));
    this.#accounts.set(tenant, account);
    return account;
  }

  /** Streams that are open now. */
  streams(tenant: string): number {
    return this.#accounts.get(tenant)?.streams ?? 0;
  }
}

class Account {
  readonly #now: () => number;
  readonly #onSpent: (spent: Spent) => void;
  readonly #requests = new Bucket();
  readonly #tokens = new Bucket();
  streams = 0;

  constructor(now: () => number, onSpent: (spent: Spent) => void) {
    this.#now = now;
    this.#onSpent = onSpent;
  }

  #refill({ requestsPerMinute = Infinity, tokensPerMinute = Infinity }: Quota, now: number): void {
    this.#requests.refill(requestsPerMinute, now);
    this.#tokens.refill(tokensPerMinute, now);
  }

  spentElsewhere(quota: Quota, { requests, tokens }: Spent): void {
    this.#refill(quota, this.#now());
    this.#requests.spentElsewhere(requests);
    this.#tokens.spentElsewhere(tokens);
  }

  enter(quota: Quota, { requests, tokens }: Spent): QuotaLease {
    const now = this.#now();
    const { requestsPerMinute = Infinity, tokensPerMinute = Infinity, streams = Infinity } = quota;
    this.#refill(quota, now);
    const charge = Math.min(tokens, tokensPerMinute);
    if (this.streams >= streams) throw exceeded(`${streams} streams at the same time`, STREAM_RETRY_MS);
    const waits = [
      { what: `${requestsPerMinute} requests a minute`, ms: requests > 0 ? this.#requests.waitFor(requests) : 0 },
      { what: `${tokensPerMinute} tokens a minute`, ms: charge > 0 ? this.#tokens.waitFor(charge) : 0 },
    ].toSorted((a, b) => b.ms - a.ms);
    const [longest] = waits;
    if (longest && longest.ms > 0) throw exceeded(longest.what, longest.ms);
    this.#requests.take(requests);
    this.#tokens.take(charge);
    this.streams++;
    this.#onSpent({ requests, tokens: charge });
    return this.#lease(charge, now);
  }

  #lease(charge: number, at: number): QuotaLease {
    let open = true;
    const settle = (tokens: number) => {
      if (!open) return;
      open = false;
      this.streams--;
      const used = Number.isFinite(tokens) ? Math.max(0, tokens) : charge;
      if (used > charge) this.#tokens.owe(used - charge);
      const back = used > charge ? charge - used : this.#tokens.giveBack(charge - used, this.#now() - at);
      if (back !== 0) this.#onSpent({ requests: 0, tokens: -back });
    };
    return { settle, [Symbol.dispose]: () => settle(0) };
  }
}

/** Below this it lacks nothing: sums of parts of tokens are not exact. */
const DUST = 1e-6;

/** Full at first. A rate without end never lacks anything. */
class Bucket {
  #rate = Infinity;
  #level = 0;
  #debt = 0;
  #at = 0;

  /** @param rate a minute, which is also the most it holds */
  refill(rate: number, now: number): void {
    const wasBounded = Number.isFinite(this.#rate);
    if (wasBounded) this.#add((this.#rate * Math.max(0, now - this.#at)) / MINUTE_MS);
    // A file that was changed may have changed the rate.
    this.#level = wasBounded ? Math.min(rate, this.#level) : rate;
    this.#rate = rate;
    this.#at = now;
  }

  #add(amount: number): void {
    const paid = Math.min(this.#debt, amount);
    this.#debt -= paid;
    this.#level = Math.min(this.#rate, this.#level + amount - paid);
  }

  /** Milliseconds until it has as much; 0 when it has. */
  waitFor(amount: number): number {
    const lacking = this.#debt + amount - this.#level;
    return lacking <= DUST || !Number.isFinite(this.#rate) ? 0 : Math.max(1, Math.ceil((lacking / this.#rate) * MINUTE_MS));
  }

  take(amount: number): void {
    this.#level = Math.max(0, this.#level - amount);
  }

  /**
   * What was taken and not needed. A bucket that has been full since would have had no use for it, so only what cannot
   * have been refilled meanwhile comes back: else a span could have more than the rate and a minute's worth.
   * @returns what that is
   */
  giveBack(amount: number, afterMs: number): number {
    if (!Number.isFinite(this.#rate)) return 0;
    const back = Math.max(0, amount - (this.#rate * afterMs) / MINUTE_MS);
    this.#add(back);
    return back;
  }

  /** What others spent while nobody could hear of it makes no debt of more than a minute. */
  spentElsewhere(amount: number): void {
    if (!Number.isFinite(this.#rate)) return;
    if (amount < 0) this.#add(-amount);
    else this.owe(Math.min(amount, Math.max(0, this.#level + this.#rate - this.#debt)));
  }

  owe(amount: number): void {
    const paid = Math.min(this.#level, amount);
    this.#level -= paid;
    this.#debt += amount - paid;
  }
}

function exceeded(what: string, retryAfterMs: number): Fault {
  return new Fault('QUOTA_EXCEEDED', `the quota of ${what} is used up for now`, { retryAfterMs });
}
