/** Telling a request an answer that was not generated for it, in the request's own words. */
import type { Fault } from '../../proto/contract/faults.ts';
import { Code } from '../../proto/contract/faults.ts';
import type { CachedAnswer } from '../../proto/gen/infermesh/v1/cache.ts';
import type { Cached, Finished, Started } from '../../proto/gen/infermesh/v1/inference.ts';
import { CacheSource } from '../../proto/gen/infermesh/v1/inference.ts';
import type { RequestEvent } from '../../telemetry/events.ts';
import { event, MIGRATIONS_TRAILER } from '../answer.ts';
import type { Clock } from '../clock.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { onAbort } from '../on-abort.ts';
import type { Arrived } from '../request.ts';
import type { Tally } from '../tally.ts';
import type { Trip } from '../trip.ts';
import type { Flight } from './flight.ts';
import type { Found } from './lookup.ts';
import type { MemberParts } from './member.ts';
import type { Closing } from './reader.ts';
import { Reader } from './reader.ts';
import { PacedRecording, WholeRecording } from './recordings.ts';
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

export interface RetellingParts {
  readonly clock: Clock;
  readonly tally: Tally;
  readonly ledger: Pick<Ledger, 'again'>;
}

export class Retelling {
  readonly #parts: RetellingParts;
  /** Found once for each answer in memory. */
  readonly #condensed = new WeakMap<CachedAnswer, Buffer>();

  constructor(parts: RetellingParts) {
    this.#parts = parts;
  }

  /** How the request reads along with others. @param flight once it has joined */
  member(request: Arrived, trip: Trip, flight: () => Flight): MemberParts {
    return {
      stream: trip.client,
      clock: this.#parts.clock,
      deadlineAt: request.deadlineAt,
      opening: (started) => openingOf(request, trip, started),
      closing: (finished, leads) =>
        leads ? generated(finished, trip) : this.#closing(request, trip, shared(finished, flight())),
    };
  }

  /** Gives the client what was found. @throws Fault why the client did not get all of it */
  async replay(request: Arrived, trip: Trip, found: Found, paced: boolean): Promise<void> {
    const { clock } = this.#parts;
    const { answer, cached } = found;
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
      opening: () => openingOf(request, trip, started),
    });
    trip.reader = reader;
    using _left = onAbort(trip.cut.signal, (reason) => reader.leave(reason as Fault));
    if (!paced) close();
    const reading = await reader.done;
    if (reading.type === 'left') throw reading.fault;
    this.#settle(request, trip, finished);
  }

  /** The request has all of an answer that was generated for another one. */
  followed(request: Arrived, trip: Trip, flight: Flight, finished: Finished): void {
    const told = shared(finished, flight);
    if (flight.started) tell(trip, flight.started, told);
    this.#settle(request, trip, told);
  }

  /** All members of the flight get what was found. */
  adopt({ answer, cached }: Found, flight: Flight): void {
    flight.adopt(startedOf(answer), this.#condense(answer), finishedOf(answer, cached));
  }

  #settle({ id }: Arrived, trip: Trip, { reason: finishReason, usage, cost, cached }: Finished): void {
    const { tally, ledger } = this.#parts;
    const { source, requestId } = cached as Cached;
    const savedUsd = cost?.usd ?? 0;
    trip.answered(trip.closing);
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

function openingOf({ id: requestId }: Arrived, { watch }: Trip, started: Started): Buffer {
  return startedAgain(started, { requestId, traceId: watch.traceId() });
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
function shared(finished: Finished, { started }: Flight): Finished {
  const requestId = started?.requestId ?? '';
  const cached = { source: CacheSource.CACHE_SOURCE_SHARED, ageMs: 0, requestId, similarity: 1 };
  return { ...finished, cached: finished.cached ?? cached };
}

function finishedOf({ reason, usage, cost, timings }: CachedAnswer, cached: Cached): Finished {
  return { reason, usage, cost, timings, migrations: 0, cached };
}
