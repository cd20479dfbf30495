/**
 * One request, top to bottom: arrive -> cache -> identify -> classify -> admit and choose -> attempt -> settle.
 * `#answer` and `#generate` are the documentation; the stages stand below them in that order.
 */
import type { Cache } from '../cache/port.ts';
import { checkFeedback, checkResume } from '../proto/contract/bounds.ts';
import { Code, Fault, toFault } from '../proto/contract/faults.ts';
import type { CachedAnswer } from '../proto/gen/infermesh/v1/cache.ts';
import type {
  ChatRequest,
  ExplainResponse,
  FeedbackRequest,
  Finished,
  ResumeRequest,
} from '../proto/gen/infermesh/v1/inference.ts';
import { Priority } from '../proto/gen/infermesh/v1/inference.ts';
import type { Delivered } from '../proto/gen/infermesh/v1/types.ts';
import type { ClientStream } from '../proto/transport/event-stream.ts';
import type { CallContext } from '../proto/transport/handlers.ts';
import type { RequestObserver } from '../telemetry/events.ts';
import type { Admitted, Resumption, Wish } from './admit/admission.ts';
import { Admission } from './admit/admission.ts';
import type { WaitingRoom } from './admit/waiting-room.ts';
import { event, MIGRATIONS_TRAILER, startedBy } from './answer.ts';
import { Pacing } from './attempt/pacing.ts';
import { Quarantine } from './attempt/quarantine.ts';
import type { Answer, SeriesParts } from './attempt/series.ts';
import { Series } from './attempt/series.ts';
import { poison } from './attempt/survival.ts';
import { Sweep } from './attempt/sweep.ts';
import { sizeOf } from './classify/size.ts';
import { Cut } from './cut.ts';
import type { Fleet } from './fleet/fleet.ts';
import type { Sessions } from './fleet/sessions.ts';
import { bodyDigest, keyDigest } from './idempotency/digest.ts';
import { IdempotencyRegistry } from './idempotency/registry.ts';
import { SwitchedStream } from './idempotency/switched-stream.ts';
import type { Entry, Ledger } from './ledger/ledger.ts';
import type { Arrived, Identified, Identifier } from './request.ts';
import { arrive, identify, newRequestId, watchOf } from './request.ts';
import type { Meaning } from './reuse/meaning.ts';
import { mayKeep, notCached, wantsOnlyCached } from './reuse/permit.ts';
import { Reuse } from './reuse/reuse.ts';
import type { Search } from './reuse/search.ts';
import { decidedEvent, explanation } from './select/explain.ts';
import { suitability } from './select/suitability.ts';
import type { Tally } from './tally.ts';
import { Trip } from './trip.ts';
import type { Quotas } from './trust/quotas.ts';
import { UnreadStream } from './unread-stream.ts';

export type { Admitted };

const SERVICE = 'infermesh.v1.InferenceService';
/** What the router asks to check itself. */
const CHECK = 'infermesh.internal/Check';
const CHECK_LIMIT_MS = 120_000;

export interface JourneyParts extends Identifier {
  readonly fleet: Fleet;
  readonly sessions: Sessions;
  readonly room: WaitingRoom<Admitted>;
  readonly ledger: Ledger;
  readonly observer: RequestObserver;
  readonly tally: Tally;
  readonly trials: SeriesParts['trials'];
  readonly quotas: Quotas;
  /** Undefined: every request is generated for itself. */
  readonly cache: Cache | undefined;
  /** Undefined where prompts can't be compared by what they mean. */
  readonly meaning: Meaning | undefined;
}

/** An answer that was generated, and is on its way to who reads it. */
interface Settled {
  readonly finished: Finished;
  readonly tokens: number;
  /** It may be given again. */
  readonly isKept: boolean;
}

export class Journey {
  readonly #parts: JourneyParts;
  readonly #admission: Admission;
  readonly #cuts = new Set<Cut>();
  readonly #series: SeriesParts;
  readonly #quarantine: Quarantine;
  readonly #claims: IdempotencyRegistry<ClientStream>;
  readonly #reuse: Reuse<Settled> | undefined;
  #draining = false;

  constructor(parts: JourneyParts) {
    this.#parts = parts;
    const { clock, room, cache } = parts;
    this.#admission = new Admission(parts);
    this.#quarantine = new Quarantine(clock);
    this.#claims = new IdempotencyRegistry(clock);
    this.#reuse = cache && this.#reuseOf(cache);
    const pacing = new Pacing(clock, () => room.size > 0);
    this.#series = { ...parts, sweep: new Sweep(clock), pacing };
    parts.fleet.onLeft = (node) => pacing.forget(node);
  }

  #reuseOf(cache: Cache): Reuse<Settled> {
    const generateUnread = (request: Arrived, model: string) => this.#generateUnread(request, model);
    return new Reuse(
      { ...this.#parts, cache, generateUnread },
      {
        generate: (request, trip, search) => this.#generate(request, trip, search),
        told: (settled, trip) => this.#told(settled, trip),
        cutFor: (stream) => this.#cutFor(stream),
      },
    );
  }

  /** Answers a conversation from its beginning. */
  chat(chat: ChatRequest, stream: ClientStream, context: CallContext): Promise<void> {
    return this.#answer(chat, stream, context, `${SERVICE}/Chat`);
  }

  /** Goes on with an answer that another router began. @throws Fault INVALID_REQUEST */
  resume(request: ResumeRequest, stream: ClientStream, context: CallContext): Promise<void> {
    const { chat, delivered } = checkResume(request);
    return this.#answer(chat, stream, context, `${SERVICE}/Resume`, delivered);
  }

  async #answer(
    chat: ChatRequest,
    stream: ClientStream,
    context: CallContext,
    method: string,
    delivered?: Delivered,
  ): Promise<void> {
    const id = newRequestId();
    using _open = this.#parts.tally.request();
    const client = chat.idempotencyKey === '' ? stream : new SwitchedStream(stream);
    using cut = this.#cutFor(client);
    const watch = watchOf(id, method, context, this.#parts);
    const resumption = delivered ? resumptionOf(delivered, this.#parts.clock.now()) : undefined;
    const trip = new Trip({ chat, client, cut, watch, resumption });
    try {
      const request = arrive(id, chat, context, this.#parts);
      if (this.#draining) throw new Fault('DRAINING', 'the router is shutting down');
      if (this.#quarantine.has(chat)) throw poison();
      if (client instanceof SwitchedStream && this.#isKnown(request, trip, client)) return;
      cut.at(request.deadlineAt);
      const search = resumption ? undefined : this.#reuse?.search(request);
      if (search) await this.#reuse?.answer(request, trip, search);
      else if (wantsOnlyCached(chat)) throw notCached();
      else this.#told(await this.#generate(request, trip), trip);
    } catch (thrown) {
      this.#refuse(toFault(thrown), trip);
    } finally {
      trip.lease?.[Symbol.dispose]();
    }
  }

  /** Has the answer made, for this request or for all who read along. */
  async #generate(arrived: Arrived, trip: Trip, search?: Search): Promise<Settled> {
    // An answer that has begun, here or elsewhere, takes no place in a line.
    if (!trip.resumption) this.#admission.shed(arrived.chat, arrived.tenant);
    const request = identify(arrived, this.#parts);
    const { promptTokens, expectedOutputTokens } = request.needs;
    trip.lease = this.#parts.quotas.enter(request.tenant, promptTokens + expectedOutputTokens, trip.lease);
    this.#series.pacing.request();
    this.#classify(request, trip);
    try {
      const admitted = await this.#admit(request, trip);
      const answer = await this.#attempt(request, admitted, trip);
      return this.#settle(request, answer, trip, search);
    } catch (thrown) {
      if (trip.attempts?.poisonous) this.#quarantine.add(trip.chat);
      throw thrown;
    }
  }

  /** What `chat` would choose now, without choosing it. */
  explain(chat: ChatRequest, context: CallContext): ExplainResponse {
    const arrived = arrive(newRequestId(), chat, context, this.#parts);
    const cached = this.#reuse?.preview(arrived);
    return { ...explanation(this.#admission.preview(identify(arrived, this.#parts))), ...(cached ? { cached } : {}) };
  }

  /**
   * Credits a past answer with what its reader says of it.
   * @returns its reward, 0 to 1 @throws Fault INVALID_REQUEST or REQUEST_UNKNOWN
   */
  feedback(request: FeedbackRequest): number {
    const { requestId, ...figures } = checkFeedback(request);
    return this.#parts.ledger.feedback(requestId, figures);
  }

  /** From now on requests are refused; those that run may end by themselves. */
  drain(): void {
    this.#draining = true;
  }

  /** Ends what still runs. */
  abort(): void {
    for (const cut of this.#cuts) cut.abort(new Fault('DRAINING', 'the router is shutting down'));
  }

  #cutFor(stream: ClientStream): Cut {
    const cut = new Cut(stream, this.#parts.clock, () => this.#cuts.delete(cut));
    this.#cuts.add(cut);
    return cut;
  }

  // Arrive

  /** @returns true when the same request is or was answered already, and this call gets that answer */
  #isKnown(request: Arrived, trip: Trip, client: SwitchedStream): boolean {
    const { chat, cut, watch, resumption } = trip;
    const running = {
      isWhole: () => trip.goesOn && trip.isWhole,
      takeOver: (reader: ClientStream) => client.switchTo(reader, trip.soFar()),
      replaced: () => cut.abort(new Fault('CANCELLED', 'another call with the same idempotency key goes on with the answer')),
    };
    const key = keyDigest(request.tenant, chat.idempotencyKey);
    const body = bodyDigest(chat);
    if (resumption) {
      trip.claim = this.#claims.renew(key, body, running);
      return false;
    }
    const entered = this.#claims.enter(key, body, running);
    if (entered.type === 'new') {
      trip.claim = entered.entry;
      return false;
    }
    if (entered.type === 'running') entered.takeOver(client.handOver());
    else {
      client.write(entered.answer);
      client.end();
    }
    this.#parts.tally.ended.finished++;
    watch.tell({ type: 'ended', outcome: 'finished', code: Code.OK, tokens: 0, migrations: 0 });
    return true;
  }

  // Check

  /** An answer for a check, as long as nobody has to wait for it. @returns its text */
  async #generateUnread({ chat: asked, ...arrived }: Arrived, model: string): Promise<string | undefined> {
    const { clock, room, observer, tally } = this.#parts;
    if (this.#draining || room.size > 0) return undefined;
    using _open = tally.request();
    const id = newRequestId();
    const priority = Priority.PRIORITY_LOW;
    const chat: ChatRequest = { ...asked, target: { $case: 'model', value: model }, priority, sessionId: '', idempotencyKey: '' };
    const client = new UnreadStream();
    using cut = this.#cutFor(client);
    const watch = observer.watch({ requestId: id, method: CHECK });
    const trip = new Trip({ chat, client, cut, watch, resumption: undefined });
    const arrivedAt = clock.now();
    const deadlineAt = arrivedAt + CHECK_LIMIT_MS;
    cut.at(deadlineAt);
    try {
      // Not the tenant's doing, and so none of its quota.
      const request: Arrived = {
        ...arrived,
        id,
        chat,
        target: { type: 'model', name: model },
        tenant: undefined,
        arrivedAt,
        deadlineAt,
      };
      this.#told(await this.#generate(request, trip), trip);
      return trip.kept.text();
    } catch (thrown) {
      this.#refuse(toFault(thrown), trip);
      return undefined;
    } finally {
      trip.lease?.[Symbol.dispose]();
    }
  }

  // Classify

  #classify({ needs, chat, maxTokens }: Identified, { watch }: Trip): void {
    watch.tell({
      type: 'accepted',
      target: needs.target.type,
      sampling: { ...chat.sampling, maxTokens },
    });
    const { task, complexity, domain, language, followUp } = needs.classification;
    watch.tell({ type: 'classified', task, complexity, domain, language, followUp });
  }

  // Admit and choose

  async #admit(
    request: Identified,
    trip: Trip,
    wish: Wish = { failed: new Map(), resumption: trip.resumption },
  ): Promise<Admitted> {
    const { watch, ending } = trip;
    const admitted = await this.#admission.admit(request, ending.signal, () => watch.tell({ type: 'waiting' }), wish);
    this.#entryOf(request, admitted, trip);
    watch.tell(decidedEvent(admitted.decision, admitted.chosen));
    return admitted;
  }

  /** Another node of the same model is the same choice; another model, before the first token, is another. */
  #entryOf(request: Identified, admitted: Admitted, trip: Trip): Entry {
    if (trip.entry?.model !== admitted.chosen.candidate.model.name) trip.entry = this.#parts.ledger.open(request, admitted);
    return trip.entry as Entry;
  }

  // Attempt

  #attempt(request: Identified, admitted: Admitted, trip: Trip): Promise<Answer> {
    const { watch, ending, stream, kept, resumption, flight } = trip;
    if (ending.signal.aborted) {
      admitted[Symbol.dispose]();
      throw ending.signal.reason;
    }
    trip.attempts = new Series(this.#series, {
      request,
      stream,
      cut: ending,
      deadlineAt: ending.deadlineAt,
      watch,
      kept,
      resumption,
      opening: ({ chosen, decision }) => {
        const started = startedBy(request.id, chosen, decision, watch);
        if (flight) flight.started ??= started;
        trip.started = started;
        trip.opening = event({ $case: 'started', value: started });
        return trip.opening;
      },
      admit: (wish) => this.#admit(request, trip, wish),
      admitNow: (wish) => this.#admission.admitNow(request, wish),
      hasOther: (one) => this.#admission.hasOther(one),
    });
    return trip.attempts.run(admitted);
  }

  // Settle

  #settle(request: Identified, answer: Answer, trip: Trip, search?: Search): Settled {
    const { clock, sessions, fleet } = this.#parts;
    const { stream, kept, flight } = trip;
    const { admitted, ended, finish, unopened, waitedMs, firstTokenMs, migrations } = answer;
    const { node, model } = admitted.chosen.candidate;
    const timings = ended.timings ?? { queueMs: 0, prefillMs: 0, decodeMs: 0 };
    const latencyMs = clock.now() - request.arrivedAt;
    const bill = this.#entryOf(request, admitted, trip).finished({ finish, latencyMs, firstTokenMs, kept });
    const { inputTokens = 0, outputTokens = 0 } = finish.usage ?? {};
    trip.lease?.settle(inputTokens + outputTokens);
    if (request.session !== undefined) sessions.served(request.session, node, model.name);
    fleet.locality.served(node, model, request.prefixes, finish.usage);
    const finished: Finished = {
      reason: finish.reason,
      usage: finish.usage,
      cost: { ...bill, savedUsd: 0 },
      timings: {
        queueMs: waitedMs + timings.queueMs,
        prefillMs: timings.prefillMs,
        decodeMs: timings.decodeMs,
        firstTokenMs,
        totalMs: latencyMs,
      },
      migrations,
      cached: undefined,
    };
    // Behind what another router or another request gave there is no whole answer here.
    const isWhole = kept.isWhole && !trip.resumption;
    const isKept = search !== undefined && mayKeep(search.permit, { reason: finish.reason, isWhole, migrations });
    if (isKept) {
      this.#reuse?.keep(search, cachedAnswer(trip, finished, clock.wall()), model, isLasting(admitted));
    }
    if (flight) flight.finished(finished);
    else {
      const closing = event({ $case: 'finished', value: finished });
      stream.write(unopened ? Buffer.concat([unopened, closing]) : closing);
      stream.end({ [MIGRATIONS_TRAILER]: String(migrations) });
      trip.answered(closing);
    }
    return { finished, tokens: ended.tokens, isKept };
  }

  /** The client has all of the answer that was generated for it. */
  #told({ finished, tokens }: Settled, trip: Trip): void {
    const { reason: finishReason, usage, cost, migrations } = finished;
    if (trip.reader) trip.answered(trip.closing);
    this.#parts.tally.ended.finished++;
    trip.tellContent();
    const costUsd = cost?.usd ?? 0;
    trip.watch.tell({ type: 'ended', outcome: 'finished', code: Code.OK, finishReason, tokens, usage, costUsd, migrations });
  }

  #refuse(fault: Fault, trip: Trip): void {
    const { client, watch, attempts } = trip;
    const tokens = attempts?.tokens ?? 0;
    client.fail(fault);
    trip.claim?.freed();
    // The prompt of an answer that was begun has been read.
    if (tokens > 0) trip.lease?.settle(tokens + sizeOf(trip.chat.messages).promptTokens);
    const outcome = fault.reason === 'CANCELLED' ? 'cancelled' : 'failed';
    this.#parts.tally.ended[outcome]++;
    trip.entry?.failed(fault, tokens);
    trip.tellContent();
    watch.tell({ type: 'ended', outcome, code: fault.code, reason: fault.reason, tokens, migrations: attempts?.migrations ?? 0 });
    // A defect here, not a node's failure: the transport logs what was thrown.
    if (fault.reason === 'INTERNAL' && fault.cause !== undefined) throw fault;
  }
}

function resumptionOf({ model, tokenizerDigest, tokens, text, tokenIds }: Delivered, now: number): Resumption {
  return { model, tokenizerDigest, delivered: { tokens, text, tokenIds }, since: now };
}

/** Not made for the sake of learning, nor for want of a model that suits the task, which may be there a moment later. */
function isLasting({ decision, chosen, ask }: Admitted): boolean {
  return !decision.explored && suitability(chosen.candidate.model.tasks, ask.classification.task) !== 'unsuited';
}

/** As routers keep it; only of an answer that is whole and began here. */
function cachedAnswer({ started, kept }: Trip, { reason, usage, cost, timings }: Finished, createdAtMs: number): CachedAnswer {
  const { requestId = '', node = '', model = '', tokenizerDigest = '', decision } = started ?? {};
  // A copy: what is kept of an answer is a part of a larger buffer.
  const deltas = Buffer.from(kept.bytes());
  return { requestId, node, model, tokenizerDigest, decision, deltas, reason, usage, cost, timings, createdAtMs };
}
