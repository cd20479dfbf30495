/** Finding an answer for a request, and keeping the one it got. */
import type { Cache, Hit } from '../../cache/port.ts';
import type { CachedAnswer } from '../../proto/gen/infermesh/v1/cache.ts';
import type { Cached } from '../../proto/gen/infermesh/v1/inference.ts';
import { CacheSource } from '../../proto/gen/infermesh/v1/inference.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { RequestWatch } from '../../telemetry/events.ts';
import type { Clock } from '../clock.ts';
import { pause } from '../pause.ts';
import type { Arrived } from '../request.ts';
import type { Trip } from '../trip.ts';
import type { Lease } from './leases.ts';
import { Leases, NO_LEASE } from './leases.ts';
import type { Meaning } from './meaning.ts';
import type { ModelsParts } from './models.ts';
import { KnownModels } from './models.ts';
import { permitOf } from './permit.ts';
import { Search } from './search.ts';

/** How long an answer that another router generates is waited for, and how often it is looked for. */
const LEASE_WAIT_MS = 1000;
const LEASE_LOOK_MS = 50;

export interface LookupParts extends ModelsParts {
  readonly cache: Cache;
  readonly clock: Clock;
  /** Undefined where nothing can be compared by meaning. */
  readonly meaning: Meaning | undefined;
  /** Has an answer made that nobody waits for; undefined where that can't be now. */
  readonly generateUnread: (request: Arrived, model: string) => Promise<string | undefined>;
}

/** An answer that was found, and how. */
export interface Found {
  readonly answer: CachedAnswer;
  readonly cached: Cached;
}

export class Lookup {
  readonly #parts: LookupParts;
  readonly #models: KnownModels;
  readonly #leases: Leases;

  constructor(parts: LookupParts) {
    this.#parts = parts;
    this.#models = new KnownModels(parts);
    this.#leases = new Leases({ store: parts.cache.store, clock: parts.clock });
  }

  /** Undefined where the cache has no part in the request. */
  search(request: Arrived): Search | undefined {
    const permit = permitOf(request.chat, request.policy.cache);
    return permit.reads || permit.writes ? new Search(request, permit, this.#parts, this.#models) : undefined;
  }

  /** In memory, at once. */
  peek(search: Search): Found | undefined {
    const hit = search.permit.reads ? search.peek() : undefined;
    return hit && this.#found(hit);
  }

  /** In memory, else where other routers put it; soon, whatever Redis does. */
  async find(search: Search, watch: RequestWatch): Promise<Found | undefined> {
    if (!search.permit.reads) return undefined;
    const here = this.peek(search);
    if (here) return here;
    const isShared = this.#parts.cache.store.kind !== 'memory';
    // Where memory is all there is, this finds nothing more, and counts the miss.
    const hit = await (isShared ? search.budget.within(() => search.find()) : search.find());
    if (isShared) watch.tell({ type: 'searched', where: 'redis', found: hit !== undefined });
    return hit && this.#found(hit);
  }

  #found({ value: answer, from }: Hit<CachedAnswer>): Found {
    return this.#foundIn(from === 'memory' ? CacheSource.CACHE_SOURCE_MEMORY : CacheSource.CACHE_SOURCE_REDIS, answer, 1);
  }

  #foundIn(source: CacheSource, answer: CachedAnswer, similarity: number): Found {
    const ageMs = Math.max(0, this.#parts.clock.wall() - answer.createdAtMs);
    return { answer, cached: { source, ageMs, requestId: answer.requestId, similarity } };
  }

  /**
   * For the leader of a flight: the answer to another prompt of the same meaning. What there is not is remembered with
   * the answer that will be.
   */
  async similar(request: Arrived, trip: Trip, search: Search): Promise<Found | undefined> {
    const { meaning } = this.#parts;
    if (!search.permit.semantic || !meaning?.model) return undefined;
    const meant = await meaning.find(request, search, trip.watch.traceparent());
    if (!meant) return undefined;
    trip.watch.tell({ type: 'searched', where: 'semantic', found: 'answer' in meant });
    search.meant = meant;
    if (!('answer' in meant)) return undefined;
    const { answer, hit } = meant;
    void meaning.check(meant, request, () => this.#parts.generateUnread(request, answer.model));
    return this.#foundIn(CacheSource.CACHE_SOURCE_SEMANTIC, answer, hit.similarity);
  }

  /** A whole answer may be given again. @param isChoice as for Search.keep */
  keep(search: Search, answer: CachedAnswer, model: ServedModel, isChoice: boolean): void {
    search.keep(answer, model, isChoice);
    if (search.meant) void this.#parts.meaning?.remember(search.meant, search.reference(model), search.permit.ttlMs);
  }

  /**
   * For the leader of a flight: whether another router is at it already, which is waited for a little.
   * @returns the answer that it gave, else the lease to generate one @throws the signal's reason
   */
  async claim(search: Search, { watch, ending: { signal } }: Trip): Promise<Found | Lease> {
    const { clock } = this.#parts;
    const key = search.lease;
    const free = { lease: NO_LEASE };
    const taking = async () => ({ lease: await this.#leases.take(key) });
    let { lease } = (await search.budget.within(taking, (late) => late.lease?.[Symbol.dispose]())) ?? free;
    if (lease) return lease;
    const until = clock.now() + LEASE_WAIT_MS;
    let found: Hit<CachedAnswer> | undefined;
    const look = async () => search.peek() ?? (await search.find());
    while (!lease && !found && clock.now() < until) {
      await pause(clock, LEASE_LOOK_MS, signal);
      found = await look();
      if (found) break;
      lease = await this.#leases.take(key);
      // It may have come between the look and the lease.
      if (lease && lease !== NO_LEASE) found = await look();
      if (found) lease?.[Symbol.dispose]();
    }
    watch.tell({ type: 'searched', where: 'other_router', found: found !== undefined });
    return found ? this.#found(found) : (lease ?? NO_LEASE);
  }
}
