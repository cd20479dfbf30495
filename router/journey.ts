/**
 * One request, top to bottom: identify -> classify -> admit and choose -> attempt -> settle. `chat` is the
 * documentation; the stages stand below it in that order.
 */
import { checkFeedback, checkResume } from '../proto/contract/bounds.ts';
import { Code, Fault, toFault } from '../proto/contract/faults.ts';
import type { ChatRequest, ExplainResponse, FeedbackRequest, ResumeRequest } from '../proto/gen/infermesh/v1/inference.ts';
import type { Delivered } from '../proto/gen/infermesh/v1/types.ts';
import type { ClientStream, EventStream } from '../proto/transport/event-stream.ts';
import type { CallContext } from '../proto/transport/handlers.ts';
import type { RequestObserver, RequestWatch } from '../telemetry/events.ts';
import type { Admitted, Resumption, Wish } from './admit/admission.ts';
import { Admission } from './admit/admission.ts';
import type { WaitingRoom } from './admit/waiting-room.ts';
import { event, startedEvent } from './answer.ts';
import { Kept } from './attempt/kept.ts';
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
import type { Entry as Claim } from './idempotency/registry.ts';
import { IdempotencyRegistry } from './idempotency/registry.ts';
import { SwitchedStream } from './idempotency/switched-stream.ts';
import type { Entry, Ledger } from './ledger/ledger.ts';
import type { Identified, Identifier } from './request.ts';
import { identify, newRequestId } from './request.ts';
import { decidedEvent, explanation } from './select/explain.ts';
import type { Tally } from './tally.ts';
import type { QuotaLease, Quotas } from './trust/quotas.ts';

export type { Admitted };

const EMPTY = Buffer.alloc(0);
const SERVICE = 'infermesh.v1.InferenceService';
/** How often the stream moved to another node, for those who read no events. */
const MIGRATIONS_TRAILER = 'infermesh-migrations';

export interface JourneyParts extends Identifier {
  readonly fleet: Fleet;
  readonly sessions: Sessions;
  readonly room: WaitingRoom<Admitted>;
  readonly ledger: Ledger;
  readonly observer: RequestObserver;
  readonly tally: Tally;
  readonly trials: SeriesParts['trials'];
  readonly quotas: Quotas;
}

/** What the stages of one request share. */
interface Trip {
  readonly chat: ChatRequest;
  readonly stream: ClientStream;
  readonly watch: RequestWatch;
  readonly cut: Cut;
  readonly kept: Kept;
  /** The `started` that went to the client. */
  opening: Buffer | undefined;
  /** Where the request carries an idempotency key: what is kept of it under the key. */
  claim: Claim | undefined;
  /** Of the tenant's quota. */
  lease: QuotaLease | undefined;
  /** What another router delivered of the answer; undefined for a whole one. */
  readonly resumption: Resumption | undefined;
  /** The choice as the ledger keeps it, once there is one. */
  entry: Entry | undefined;
  attempts: Series | undefined;
}

export class Journey {
  readonly #parts: JourneyParts;
  readonly #admission: Admission;
  readonly #cuts = new Set<Cut>();
  readonly #series: SeriesParts;
  readonly #quarantine: Quarantine;
  readonly #claims: IdempotencyRegistry<ClientStream>;
  #draining = false;

  constructor(parts: JourneyParts) {
    this.#parts = parts;
    const { clock, room } = parts;
    this.#admission = new Admission(parts);
    this.#quarantine = new Quarantine(clock);
    this.#claims = new IdempotencyRegistry(clock);
    const pacing = new Pacing(clock, () => room.size > 0);
    this.#series = { ...parts, sweep: new Sweep(clock), pacing };
    parts.fleet.onLeft = (node) => pacing.forget(node);
  }

  /** Answers a conversation from its beginning. */
  chat(chat: ChatRequest, stream: EventStream, context: CallContext): Promise<void> {
    return this.#answer(chat, stream, context, `${SERVICE}/Chat`);
  }

  /** Goes on with an answer that another router began. @throws Fault INVALID_REQUEST */
  resume(request: ResumeRequest, stream: EventStream, context: CallContext): Promise<void> {
    const { chat, delivered } = checkResume(request);
    return this.#answer(chat, stream, context, `${SERVICE}/Resume`, delivered);
  }

  async #answer(
    chat: ChatRequest,
    stream: EventStream,
    context: CallContext,
    method: string,
    delivered?: Delivered,
  ): Promise<void> {
    const id = newRequestId();
    using _open = this.#parts.tally.request();
    const client = chat.idempotencyKey === '' ? stream : new SwitchedStream(stream);
    using cut = this.#cutFor(client);
    const watch = this.#watch(id, context, method);
    const resumption = delivered ? resumptionOf(delivered, this.#parts.clock.now()) : undefined;
    const kept = new Kept(resumption?.delivered);
    const begun = { entry: undefined, attempts: undefined, opening: undefined, claim: undefined, lease: undefined };
    const trip: Trip = { chat, stream: client, cut, watch, kept, resumption, ...begun };
    try {
      // An answer that has begun, here or elsewhere, takes no place in a line.
      const mayHaveBegun = resumption !== undefined || chat.idempotencyKey !== '';
      const shed = mayHaveBegun ? undefined : (tenant?: string) => this.#admission.shed(chat, tenant);
      const request = identify(id, chat, context, this.#parts, shed);
      if (this.#draining) throw new Fault('DRAINING', 'the router is shutting down');
      if (this.#quarantine.has(chat)) throw poison();
      if (client instanceof SwitchedStream && this.#isKnown(request, trip, client)) return;
      trip.lease = this.#parts.quotas.enter(request.tenant, request.needs.promptTokens + request.needs.expectedOutputTokens);
      this.#series.pacing.request();
      cut.at(request.deadlineAt);
      this.#classify(request, trip);
      const admitted = await this.#admit(request, trip);
      const answer = await this.#attempt(request, admitted, trip);
      this.#settle(request, answer, trip);
    } catch (thrown) {
      if (trip.attempts?.poisonous) this.#quarantine.add(chat);
      this.#refuse(toFault(thrown), trip);
    } finally {
      trip.lease?.[Symbol.dispose]();
    }
  }

  /** What `chat` would choose now, without choosing it. */
  explain(chat: ChatRequest, context: CallContext): ExplainResponse {
    return explanation(this.#admission.preview(identify(newRequestId(), chat, context, this.#parts)));
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

  #watch(requestId: string, context: CallContext, method: string): RequestWatch {
    const traceparent = context.metadata('traceparent');
    const tenant = this.#parts.callers.knownTenant(context);
    return this.#parts.observer.watch({
      requestId,
      method,
      ...(traceparent === undefined ? {} : { traceparent }),
      ...(tenant === undefined ? {} : { tenant }),
    });
  }

  #cutFor(stream: ClientStream): Cut {
    const cut = new Cut(stream, this.#parts.clock, () => this.#cuts.delete(cut));
    this.#cuts.add(cut);
    return cut;
  }

  // Identify

  /** @returns true when the same request is or was answered already, and this call gets that answer */
  #isKnown(request: Identified, trip: Trip, client: SwitchedStream): boolean {
    const { chat, kept, cut, watch, resumption } = trip;
    const soFar = () => Buffer.concat([trip.opening ?? EMPTY, kept.bytes()]);
    const running = {
      takeOver: (reader: ClientStream) => client.switchTo(reader, soFar()),
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
    const { watch, cut } = trip;
    const admitted = await this.#admission.admit(request, cut.signal, () => watch.tell({ type: 'waiting' }), wish);
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
    const { watch, cut, stream, kept, resumption } = trip;
    if (cut.signal.aborted) {
      admitted[Symbol.dispose]();
      throw cut.signal.reason;
    }
    trip.attempts = new Series(this.#series, {
      request,
      stream,
      cut,
      watch,
      kept,
      resumption,
      opening: ({ chosen, decision }) => {
        trip.opening = startedEvent(request.id, chosen, decision, watch);
        return trip.opening;
      },
      admit: (wish) => this.#admit(request, trip, wish),
      admitNow: (wish) => this.#admission.admitNow(request, wish),
      hasOther: (one) => this.#admission.hasOther(one),
    });
    return trip.attempts.run(admitted);
  }

  // Settle

  #settle(request: Identified, answer: Answer, trip: Trip): void {
    const { clock, tally, sessions, fleet } = this.#parts;
    const { stream, watch, kept } = trip;
    const { admitted, ended, finish, unopened, waitedMs, firstTokenMs, migrations } = answer;
    const { node, model } = admitted.chosen.candidate;
    const { tokens } = ended;
    const timings = ended.timings ?? { queueMs: 0, prefillMs: 0, decodeMs: 0 };
    const latencyMs = clock.now() - request.arrivedAt;
    const { usd, referenceUsd } = this.#entryOf(request, admitted, trip).finished({ finish, latencyMs, firstTokenMs, kept });
    const { inputTokens = 0, outputTokens = 0 } = finish.usage ?? {};
    trip.lease?.settle(inputTokens + outputTokens);
    if (request.session !== undefined) sessions.served(request.session, node, model.name);
    fleet.locality.served(node, model, request.prefixes, finish.usage);
    const finished = event({
      $case: 'finished',
      value: {
        reason: finish.reason,
        usage: finish.usage,
        cost: { usd, referenceUsd, savedUsd: 0 },
        timings: {
          queueMs: waitedMs + timings.queueMs,
          prefillMs: timings.prefillMs,
          decodeMs: timings.decodeMs,
          firstTokenMs,
          totalMs: latencyMs,
        },
        migrations,
      },
    });
    stream.write(unopened ? Buffer.concat([unopened, finished]) : finished);
    // Behind what another router gave there is no whole answer to keep.
    if (kept.isWhole && !trip.resumption) trip.claim?.finished(Buffer.concat([trip.opening ?? EMPTY, kept.bytes(), finished]));
    else trip.claim?.freed();
    stream.end({ [MIGRATIONS_TRAILER]: String(migrations) });
    tally.ended.finished++;
    const { reason: finishReason, usage } = finish;
    tellContent(trip);
    watch.tell({ type: 'ended', outcome: 'finished', code: Code.OK, finishReason, tokens, usage, costUsd: usd, migrations });
  }

  #refuse(fault: Fault, trip: Trip): void {
    const { stream, watch, attempts } = trip;
    const tokens = attempts?.tokens ?? 0;
    stream.fail(fault);
    trip.claim?.freed();
    // The prompt of an answer that was begun has been read.
    if (tokens > 0) trip.lease?.settle(tokens + sizeOf(trip.chat.messages).promptTokens);
    const outcome = fault.reason === 'CANCELLED' ? 'cancelled' : 'failed';
    this.#parts.tally.ended[outcome]++;
    trip.entry?.failed(fault, tokens);
    tellContent(trip);
    watch.tell({ type: 'ended', outcome, code: fault.code, reason: fault.reason, tokens, migrations: attempts?.migrations ?? 0 });
    // A defect here, not a node's failure: the transport logs what was thrown.
    if (fault.reason === 'INTERNAL' && fault.cause !== undefined) throw fault;
  }
}

function resumptionOf({ model, tokenizerDigest, tokens, text, tokenIds }: Delivered, now: number): Resumption {
  return { model, tokenizerDigest, delivered: { tokens, text, tokenIds }, since: now };
}

/** The prompt and what was answered so far, for an observer that was asked to keep them. */
function tellContent({ chat, watch, kept }: Trip): void {
  if (watch.wantsContent) watch.tell({ type: 'content', input: chat.messages, output: kept.text() });
}
