/** Answers that are not generated for the request that gets them: from the cache, or along with an equal request. */
import type { Cache, Hit } from '../../cache/port.ts';
import type { Fault } from '../../proto/contract/faults.ts';
import { Code } from '../../proto/contract/faults.ts';
import type { CachedAnswer } from '../../proto/gen/infermesh/v1/cache.ts';
import type { Cached, Finished, Started } from '../../proto/gen/infermesh/v1/inference.ts';
import { CacheSource } from '../../proto/gen/infermesh/v1/inference.ts';
import type { RequestEvent, RequestWatch } from '../../telemetry/events.ts';
import { event, MIGRATIONS_TRAILER } from '../answer.ts';
import type { Clock } from '../clock.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { onAbort } from '../on-abort.ts';
import { pause } from '../pause.ts';
import type { Arrived } from '../request.ts';
import type { Tally } from '../tally.ts';
import type { Trip } from '../trip.ts';
import type { Quotas } from '../trust/quotas.ts';
import type { Flight, Member } from './flight.ts';
import { Flights } from './flight.ts';
import type { Lease } from './leases.ts';
import { Leases, NO_LEASE } from './leases.ts';
import type { ModelsParts } from './models.ts';
import { KnownModels } from './models.ts';
import { permitOf } from './permit.ts';
import type { Closing } from './reader.ts';
import { Reader } from './reader.ts';
import { PacedRecording, WholeRecording } from './recordings.ts';
import { Search } from './search.ts';
import { condensed, finishedAgain, startedAgain, startedOf } from './wording.ts';

/** Where the answer came from, for those who read no events. */
const CACHE_TRAILER = 'infermesh-cache';
type Source = Extract<RequestEvent, { type: 'reused' }>['source'];
const SOURCES: Readonly<Record<CacheSource, Source>> = {
  [CacheSource.CACHE_SOURCE_UNSPECIFIED]: 'memory',
  [CacheSource.CACHE_SOURCE_MEMORY]: 'memory',
  [CacheSource.CACHE_SOURCE_REDIS]: 'redis',
  [CacheSource.CACHE_SOURCE_SHARED]: 'shared',
  [CacheSource.CACHE_SOURCE_SEMANTIC]: 'semantic',
};

/** How long an answer that another router generates is waited for, and how often it is looked for. */
const LEASE_WAIT_MS = 1000;
const LEASE_LOOK_MS = 50;

export interface ReuseParts extends ModelsParts {
  readonly cache: Cache;
  readonly clock: Clock;
  readonly quotas: Quotas;
  readonly tally: Tally;
  readonly ledger: Pick<Ledger, 'again'>;
}

/** An answer that was found, and how. */
export interface Found {
  readonly answer: CachedAnswer;
  readonly cached: Cached;
}

export class Reuse {
  readonly #parts: ReuseParts;
  readonly #models: KnownModels;
  readonly #flights = new Flights();
  readonly #leases: Leases;
  /** Found once for each answer in memory. */
  readonly #condensed = new WeakMap<CachedAnswer, Buffer>();

  constructor(parts: ReuseParts) {
    this.#parts = parts;
    this.#models = new KnownModels(parts);
    this.#leases = new Leases({ store: parts.cache.store, clock: parts.clock });
  }

  /** Undefined where the cache has no part in the request. */
  search(request: Arrived): Search | undefined {
    const permit = permitOf(request.chat, request.policy.cache);
    return permit.reads || permit.writes ? new Search(request, permit, this.#parts.cache, this.#models) : undefined;
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
    if (here || this.#parts.cache.store.kind === 'memory') return here;
    const hit = await search.find();
    watch.tell({ type: 'searched', where: 'redis', found: hit !== undefined });
    return hit && this.#found(hit);
  }

  #found({ value: answer, from }: Hit<CachedAnswer>): Found {
    const source = from === 'memory' ? CacheSource.CACHE_SOURCE_MEMORY : CacheSource.CACHE_SOURCE_REDIS;
    const ageMs = Math.max(0, this.#parts.clock.wall() - answer.createdAtMs);
    return { answer, cached: { source, ageMs, requestId: answer.requestId, similarity: 1 } };
  }

  /** Whether an equal request is being answered now. */
  isShared({ name }: Search): boolean {
    return name !== undefined && this.#flights.has(name);
  }

  /** Reads along with all who ask the same; the first one is told to generate. */
  join(request: Arrived, trip: Trip, name: string): { readonly flight: Flight; readonly member: Member } {
    const { clock } = this.#parts;
    const joined = this.#flights.join(name, {
      stream: trip.client,
      clock,
      deadlineAt: request.deadlineAt,
      opening: (started) => startedAgain(started, { requestId: request.id, traceId: trip.watch.traceId() }),
      closing: (finished, leads) =>
        leads ? generated(finished, trip) : this.#closing(request, trip, shared(finished, joined.flight)),
    });
    trip.reader = joined.member.reader;
    return joined;
  }

  /**
   * For the leader of a flight: whether another router is at it already, which is waited for a little.
   * @returns the answer that it gave, else the lease to generate one @throws the signal's reason
   */
  async claim(search: Search, { watch, ending: { signal } }: Trip): Promise<Found | Lease> {
    const { clock } = this.#parts;
    const key = search.lease;
    let lease = key ? await this.#leases.take(key) : NO_LEASE;
    if (!key || lease) return lease ?? NO_LEASE;
    const until = clock.now() + LEASE_WAIT_MS;
    let found: Hit<CachedAnswer> | undefined;
    while (!lease && !found && clock.now() < until) {
      await pause(clock, LEASE_LOOK_MS, signal);
      found = search.peek() ?? (await search.find());
      if (!found) lease = await this.#leases.take(key);
    }
    watch.tell({ type: 'searched', where: 'other_router', found: found !== undefined });
    return found ? this.#found(found) : (lease ?? NO_LEASE);
  }

  /** All members of the flight get what was found. */
  adopt({ answer, cached }: Found, flight: Flight): void {
    flight.adopt(startedOf(answer), this.#condense(answer), finishedOf(answer, cached));
  }

  /** Gives the client what was found. @throws Fault QUOTA_EXCEEDED, or why the client did not get all of it */
  async replay(request: Arrived, trip: Trip, found: Found, paced: boolean): Promise<void> {
    const { clock, quotas } = this.#parts;
    const { answer, cached } = found;
    // It takes no tokens of the quota, but is a request.
    trip.lease = quotas.enter(request.tenant, 0);
    const started = startedOf(answer);
    const finished = finishedOf(answer, cached);
    tell(trip, started, finished);
    const close = () => reader.close(this.#closing(request, trip, finished));
    const pump = () => reader.pump();
    using paces = paced
      ? new PacedRecording(answer.deltas as Buffer, answer.timings?.decodeMs ?? 0, clock, pump, close)
      : undefined;
    const reader = new Reader({
      stream: trip.client,
      clock,
      recording: paces ?? new WholeRecording(this.#condense(answer)),
      opening: () => startedAgain(started, { requestId: request.id, traceId: trip.watch.traceId() }),
    });
    trip.reader = reader;
    using _left = onAbort(trip.cut.signal, (reason) => reader.leave(reason as Fault));
    if (!paced) close();
    const reading = await reader.done;
    if (reading.type === 'left') throw reading.fault;
    this.#settle(request, trip, finished);
  }

  /** The request has all of an answer that was generated for another one. */
  followed(request: Arrived, trip: Trip, { started }: Flight, finished: Finished): void {
    if (started) tell(trip, started, finished);
    this.#settle(request, trip, finished);
  }

  #settle({ id }: Arrived, trip: Trip, { reason: finishReason, usage, cost, cached }: Finished): void {
    const { tally, ledger } = this.#parts;
    const { source, requestId } = cached as Cached;
    const savedUsd = cost?.usd ?? 0;
    trip.claim?.finished(Buffer.concat([trip.soFar(), trip.closing]));
    ledger.again(id, requestId);
    tally.ended.finished++;
    tally.cached++;
    if (source === CacheSource.CACHE_SOURCE_SHARED) tally.shared++;
    tally.savedUsd += savedUsd;
    const tokens = usage?.outputTokens ?? 0;
    trip.watch.tell({
      type: 'ended',
      outcome: 'finished',
      code: Code.OK,
      finishReason,
      tokens,
      usage,
      costUsd: 0,
      migrations: 0,
    });
  }

  /** In the words of the request that gets it. */
  #closing({ arrivedAt }: Arrived, trip: Trip, finished: Finished): Closing {
    const cached = finished.cached as Cached;
    const now = this.#parts.clock.now();
    const firstTokenMs = (trip.reader?.openedAt ?? now) - arrivedAt;
    trip.closing = finishedAgain(finished, cached, { firstTokenMs, totalMs: now - arrivedAt });
    return { finished: trip.closing, trailers: { [MIGRATIONS_TRAILER]: '0', [CACHE_TRAILER]: SOURCES[cached.source] } };
  }

  #condense(answer: CachedAnswer): Buffer {
    const known = this.#condensed.get(answer);
    if (known) return known;
    const made = condensed(answer.deltas);
    this.#condensed.set(answer, made);
    return made;
  }
}

function tell({ watch }: Trip, { node, model }: Started, { cached, cost }: Finished): void {
  const { source, ageMs } = cached as Cached;
  watch.tell({ type: 'reused', source: SOURCES[source], node, model, ageMs, savedUsd: cost?.usd ?? 0 });
}

/** For the one that it was generated for. */
function generated(finished: Finished, trip: Trip): Closing {
  trip.closing = event({ $case: 'finished', value: finished });
  return { finished: trip.closing, trailers: { [MIGRATIONS_TRAILER]: String(finished.migrations) } };
}

/** As it is for those who read along. */
export function shared(finished: Finished, { started }: Flight): Finished {
  const requestId = started?.requestId ?? '';
  const cached = { source: CacheSource.CACHE_SOURCE_SHARED, ageMs: 0, requestId, similarity: 1 };
  return { ...finished, cached: finished.cached ?? cached };
}

function finishedOf({ reason, usage, cost, timings }: CachedAnswer, cached: Cached): Finished {
  return { reason, usage, cost, timings, migrations: 0, cached };
}
