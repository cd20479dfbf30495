/**
 * Answers that are not generated for the request that gets them: from the cache, or along with an equal request.
 *
 *   found in memory or Redis -> told again
 *   an equal request is being answered -> reads along
 *   else it leads: an answer to a prompt that means the same, or that another router gives now -> told to all who read
 *   along; nothing of the kind -> generated for all of them, and kept
 */
import type { Fault } from '../../proto/contract/faults.ts';
import { toFault } from '../../proto/contract/faults.ts';
import type { CachedAnswer } from '../../proto/gen/infermesh/v1/cache.ts';
import type { Cached } from '../../proto/gen/infermesh/v1/inference.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { MAX_DEADLINE_MS } from '../../proto/transport/deadline.ts';
import type { ClientStream } from '../../proto/transport/event-stream.ts';
import { Kept } from '../attempt/kept.ts';
import type { Cut } from '../cut.ts';
import { onAbort } from '../on-abort.ts';
import type { Arrived } from '../request.ts';
import type { Trip } from '../trip.ts';
import type { Quotas } from '../trust/quotas.ts';
import type { Flight } from './flight.ts';
import { Flights } from './flight.ts';
import type { LookupParts } from './lookup.ts';
import { Lookup } from './lookup.ts';
import type { Member } from './member.ts';
import { notCached } from './permit.ts';
import type { RetellingParts } from './retelling.ts';
import { Retelling } from './retelling.ts';
import type { Search } from './search.ts';

/** An answer that was generated, on its way to who reads it. */
export interface Generated {
  /** It may be given again. */
  readonly isKept: boolean;
}

/** What generates answers. */
export interface Generator<Answer extends Generated> {
  /** For the client of the trip, or for all who read along. @throws Fault why there is none */
  generate(request: Arrived, trip: Trip, search: Search): Promise<Answer>;
  /** The client has all of it. */
  told(answer: Answer, trip: Trip): void;
  /** What may end an answer before it is whole. */
  cutFor(stream: ClientStream): Cut;
}

export interface ReuseParts extends LookupParts, RetellingParts {
  readonly quotas: Quotas;
}

export class Reuse<Answer extends Generated> {
  readonly #parts: ReuseParts;
  readonly #generator: Generator<Answer>;
  readonly #lookup: Lookup;
  readonly #retelling: Retelling;
  readonly #flights = new Flights();

  constructor(parts: ReuseParts, generator: Generator<Answer>) {
    this.#parts = parts;
    this.#generator = generator;
    this.#lookup = new Lookup(parts);
    this.#retelling = new Retelling(parts);
  }

  /** Undefined where the cache has no part in the request. */
  search(request: Arrived): Search | undefined {
    return this.#lookup.search(request);
  }

  /** How the request would be answered from memory now. */
  preview(request: Arrived): Cached | undefined {
    const search = this.#lookup.search(request);
    return search && this.#lookup.peek(search)?.cached;
  }

  /** A whole answer may be given again. @param isChoice as for Search.keep */
  keep(search: Search, answer: CachedAnswer, model: ServedModel, isChoice: boolean): void {
    this.#lookup.keep(search, answer, model, isChoice);
  }

  /** @throws Fault why the client has no whole answer */
  async answer(request: Arrived, trip: Trip, search: Search): Promise<void> {
    const { permit } = search;
    const found = await this.#find(request, trip, search);
    if (trip.cut.signal.aborted) throw trip.cut.signal.reason;
    if (found) {
      this.#enter(request, trip);
      return this.#retelling.replay(request, trip, found, permit.paced);
    }
    const { name } = search;
    const isFollower = permit.reads && this.#flights.has(name);
    if (isFollower) this.#enter(request, trip);
    if (permit.onlyCached && !isFollower) throw notCached();
    if (permit.reads) return this.#fly(request, trip, search, name);
    this.#generator.told(await this.#generator.generate(request, trip, search), trip);
  }

  /** What is not generated takes no tokens of the quota, but is a request. */
  #enter({ tenant }: Arrived, trip: Trip): void {
    trip.lease ??= this.#parts.quotas.enter(tenant, 0);
  }

  async #find(request: Arrived, trip: Trip, search: Search) {
    // Once more in memory, at the end: an equal request may have been answered while Redis was asked.
    const found = (await this.#lookup.find(search, trip.watch)) ?? this.#lookup.peek(search);
    return found ?? (search.permit.onlyCached ? this.#lookup.similar(request, trip, search) : undefined);
  }

  /** Equal requests share one answer: this one reads along, and leads when it is the first, or when its leader fails. */
  async #fly(request: Arrived, trip: Trip, search: Search, name: string): Promise<void> {
    const { flight, member } = this.#flights.join(
      name,
      this.#retelling.member(request, trip, () => flight),
    );
    trip.reader = member.reader;
    using _left = onAbort(trip.cut.signal, (reason) => member.leave(reason as Fault));
    for (let generated: Answer | undefined; ; ) {
      const turn = await member.next();
      if (turn.type === 'failed') throw turn.fault;
      // Whoever was to lead may have left meanwhile, and all others with it.
      if (turn.type === 'lead' && flight.isOver) continue;
      if (turn.type === 'lead') generated = await this.#lead(request, trip, search, flight, member);
      else if (generated) return this.#generator.told(generated, trip);
      else return this.#retelling.followed(request, trip, flight, turn.finished);
    }
  }

  /** What becomes of it all members hear from the flight. @returns what was generated, behind what they had */
  async #lead(request: Arrived, trip: Trip, search: Search, flight: Flight, member: Member): Promise<Answer | undefined> {
    const resumption = flight.resumption(this.#parts.clock.now());
    const kept = new Kept(resumption?.delivered);
    const generation = flight.begin(member, kept);
    using ending = this.#generator.cutFor(generation);
    // Each member has its own; an engine that can't go on behind another is not to stop with the first.
    ending.at(this.#parts.clock.now() + MAX_DEADLINE_MS);
    trip.leads(flight, generation, ending, kept, resumption);
    try {
      if (search.permit.onlyCached) throw notCached();
      // Behind what there is already nobody else's answer fits.
      const claimed = resumption ? undefined : await this.#claim(request, trip, search);
      if (claimed && 'answer' in claimed) {
        this.#enter(request, trip);
        this.#retelling.adopt(claimed, flight);
        return undefined;
      }
      using lease = claimed;
      const generated = await this.#generator.generate(request, trip, search);
      if (generated.isKept) lease?.answered();
      return generated;
    } catch (thrown) {
      flight.failed(toFault(thrown), member);
      return undefined;
    }
  }

  async #claim(request: Arrived, trip: Trip, search: Search) {
    return (await this.#lookup.similar(request, trip, search)) ?? (await this.#lookup.claim(search, trip));
  }
}
