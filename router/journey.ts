/**
 * One request, top to bottom: identify -> classify -> admit and choose -> attempt -> settle. `chat` is the
 * documentation; the stages stand below it in that order.
 */
import { checkFeedback } from '../proto/contract/bounds.ts';
import { Code, Fault, toFault } from '../proto/contract/faults.ts';
import type { ChatRequest, ExplainResponse, FeedbackRequest } from '../proto/gen/infermesh/v1/inference.ts';
import type { Ended, Finish } from '../proto/gen/infermesh/v1/link.ts';
import type { ServedModel } from '../proto/gen/infermesh/v1/types.ts';
import { HOP_MARGIN_MS } from '../proto/transport/deadline.ts';
import type { EventStream } from '../proto/transport/event-stream.ts';
import type { CallContext } from '../proto/transport/handlers.ts';
import type { RequestObserver, RequestWatch } from '../telemetry/events.ts';
import type { Admitted } from './admit/admission.ts';
import { Admission } from './admit/admission.ts';
import type { WaitingRoom } from './admit/waiting-room.ts';
import { event, startedEvent } from './answer.ts';
import type { AttemptResult } from './attempt/attempt.ts';
import { Attempt } from './attempt/attempt.ts';
import { Kept } from './attempt/kept.ts';
import { endedEvent, faultIn, finishOf } from './attempt/result.ts';
import { Cut } from './cut.ts';
import type { Fleet } from './fleet/fleet.ts';
import type { Sessions } from './fleet/sessions.ts';
import type { Entry, Ledger } from './ledger/ledger.ts';
import type { Identified, Identifier } from './request.ts';
import { identify, newRequestId } from './request.ts';
import { decidedEvent, explanation } from './select/explain.ts';
import type { Tally } from './tally.ts';

export type { Admitted };

const METHOD = 'infermesh.v1.InferenceService/Chat';

export interface JourneyParts extends Identifier {
  readonly fleet: Fleet;
  readonly sessions: Sessions;
  readonly room: WaitingRoom<Admitted>;
  readonly ledger: Ledger;
  readonly observer: RequestObserver;
  readonly tally: Tally;
}

/** What the stages of one request share. */
interface Trip {
  readonly chat: ChatRequest;
  readonly stream: EventStream;
  readonly watch: RequestWatch;
  readonly cut: Cut;
  /** Tokens that went towards the client. */
  tokens: number;
  readonly kept: Kept;
  /** The choice as the ledger keeps it, once there is one. */
  entry: Entry | undefined;
}

interface Answer {
  readonly node: string;
  readonly model: ServedModel;
  readonly ended: Ended;
  readonly finish: Finish;
  /** Started, where no token took it along. */
  readonly unopened: Buffer | undefined;
  readonly waitedMs: number;
  readonly firstTokenMs: number;
}

export class Journey {
  readonly #parts: JourneyParts;
  readonly #admission: Admission;
  readonly #cuts = new Set<Cut>();
  #draining = false;

  constructor(parts: JourneyParts) {
    this.#parts = parts;
    this.#admission = new Admission(parts);
  }

  async chat(chat: ChatRequest, stream: EventStream, context: CallContext): Promise<void> {
    const id = newRequestId();
    using _open = this.#parts.tally.request();
    using cut = this.#cutFor(stream);
    const watch = this.#watch(id, context);
    const kept = new Kept(watch.wantsContent || chat.jsonSchema !== '');
    const trip: Trip = { chat, stream, cut, watch, kept, entry: undefined, tokens: 0 };
    try {
      const request = identify(id, chat, context, this.#parts);
      if (this.#draining) throw new Fault('DRAINING', 'the router is shutting down');
      cut.at(request.deadlineAt);
      this.#classify(request, trip);
      using admitted = await this.#admit(request, trip);
      const answer = await this.#attempt(request, admitted, trip);
      this.#settle(request, answer, trip);
    } catch (thrown) {
      this.#refuse(toFault(thrown), trip);
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

  #watch(requestId: string, context: CallContext): RequestWatch {
    const traceparent = context.metadata('traceparent');
    return this.#parts.observer.watch({ requestId, method: METHOD, ...(traceparent === undefined ? {} : { traceparent }) });
  }

  #cutFor(stream: EventStream): Cut {
    const cut = new Cut(stream, this.#parts.clock, () => this.#cuts.delete(cut));
    this.#cuts.add(cut);
    return cut;
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

  async #admit(request: Identified, trip: Trip): Promise<Admitted> {
    const { watch, cut } = trip;
    const admitted = await this.#admission.admit(request, cut.signal, () => watch.tell({ type: 'waiting' }));
    trip.entry = this.#parts.ledger.open(request, admitted);
    watch.tell(decidedEvent(admitted.decision, admitted.chosen));
    return admitted;
  }

  // Attempt

  async #attempt(request: Identified, { claim, chosen, decision }: Admitted, trip: Trip): Promise<Answer> {
    const { clock, tally } = this.#parts;
    const { watch, cut, stream } = trip;
    cut.signal.throwIfAborted();
    const { node, model } = chosen.candidate;
    const epoch = 1;
    const startedAt = clock.now();
    let firstTokenAt: number | undefined;
    using _open = tally.attempt();
    watch.tell({ type: 'attempt_started', epoch, node, model: model.name });
    const { messages, sampling, stop, jsonSchema } = request.chat;
    const attempt = new Attempt({
      link: claim.link,
      stream,
      clock,
      work: {
        epoch,
        model: model.name,
        messages,
        sampling,
        maxTokens: request.maxTokens,
        stop,
        jsonSchema,
        deadlineMs: Math.max(1, Math.floor(request.deadlineAt - startedAt - HOP_MARGIN_MS)),
        traceparent: watch.traceparent(),
        canary: false,
      },
      opening: startedEvent(request.id, chosen, decision, watch),
      onFirstToken: () => {
        firstTokenAt = clock.now();
        watch.tell({ type: 'first_token', epoch });
      },
      onDelivered: (tokens) => claim.delivered(tokens),
      kept: trip.kept,
      onFault: (fault) => cut.abort(fault),
      onSlowConsumer: () => cut.abort(new Fault('SLOW_CONSUMER', 'the client did not read its stream for 30 s')),
    });
    const result = await stopped(attempt, trip);
    trip.tokens += result.tokens;
    tally.tokensRelayed += result.tokens;
    const fault = cut.signal.aborted ? (cut.signal.reason as Fault) : faultIn(result);
    watch.tell(endedEvent(epoch, result, fault));
    if (fault || result.type === 'failed') throw fault;
    const finish = finishOf(result.ended) as Finish;
    return {
      node,
      model,
      ended: result.ended,
      finish,
      unopened: attempt.unopened,
      waitedMs: startedAt - request.arrivedAt,
      firstTokenMs: (firstTokenAt ?? clock.now()) - request.arrivedAt,
    };
  }

  // Settle

  #settle(request: Identified, answer: Answer, trip: Trip): void {
    const { clock, tally, sessions, fleet } = this.#parts;
    const { stream, watch, tokens, kept } = trip;
    const { node, model, ended, finish, unopened, waitedMs, firstTokenMs } = answer;
    const timings = ended.timings ?? { queueMs: 0, prefillMs: 0, decodeMs: 0 };
    const latencyMs = clock.now() - request.arrivedAt;
    const { usd, referenceUsd } = (trip.entry as Entry).finished({ finish, latencyMs, firstTokenMs, kept });
    if (request.session !== undefined) sessions.served(request.session, node, model.name);
    fleet.locality.served(node, model, request.prefixes, finish.usage);
    const finished = event({
      $case: 'finished',
      value: {
        reason: finish.reason,
        usage: finish.usage,
        cost: { usd, referenceUsd },
        timings: {
          queueMs: waitedMs + timings.queueMs,
          prefillMs: timings.prefillMs,
          decodeMs: timings.decodeMs,
          firstTokenMs,
          totalMs: latencyMs,
        },
        migrations: 0,
      },
    });
    stream.write(unopened ? Buffer.concat([unopened, finished]) : finished);
    stream.end();
    tally.ended.finished++;
    const { reason: finishReason, usage } = finish;
    tellContent(trip);
    watch.tell({ type: 'ended', outcome: 'finished', code: Code.OK, finishReason, tokens, usage, costUsd: usd, migrations: 0 });
  }

  #refuse(fault: Fault, trip: Trip): void {
    const { stream, watch, tokens } = trip;
    stream.fail(fault);
    const outcome = fault.reason === 'CANCELLED' ? 'cancelled' : 'failed';
    this.#parts.tally.ended[outcome]++;
    trip.entry?.failed(fault, tokens);
    tellContent(trip);
    watch.tell({ type: 'ended', outcome, code: fault.code, reason: fault.reason, tokens, migrations: 0 });
    // A defect here, not a node's failure: the transport logs what was thrown.
    if (fault.reason === 'INTERNAL' && fault.cause !== undefined) throw fault;
  }
}

/**
 * The attempt's end, once its engine has stopped: a slot is free when the generator has ended, not when it was told to.
 * The client need not wait for that and hears of a cut at once.
 */
async function stopped(attempt: Attempt, { cut, stream }: Trip): Promise<AttemptResult> {
  const onCut = () => {
    stream.fail(cut.signal.reason as Fault);
    attempt.cancel();
  };
  cut.signal.addEventListener('abort', onCut, { once: true });
  try {
    return await attempt.result;
  } finally {
    cut.signal.removeEventListener('abort', onCut);
  }
}

/** The prompt and what was answered so far, for an observer that was asked to keep them. */
function tellContent({ chat, watch, kept }: Trip): void {
  if (watch.wantsContent) watch.tell({ type: 'content', input: chat.messages, output: kept.text() });
}
