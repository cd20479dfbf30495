/** One request in the router as a span, with its stages as children. */
import type { Attributes, Context, Span, Tracer } from '@opentelemetry/api';
import { isSpanContextValid, SpanKind, trace } from '@opentelemetry/api';
import { Code } from '../proto/contract/faults.ts';
import {
  callAttributes,
  classificationAttributes,
  codeName,
  contentAttributes,
  decisionAttributes,
  endAttributes,
  markFailed,
  reusedAttributes,
  samplingAttributes,
  timingAttributes,
} from './attributes.ts';
import { spanClock } from './clock.ts';
import type { RequestEvent, RequestFacts, RequestWatch } from './events.ts';
import { ATTR, SPAN, SPAN_EVENT } from './names.ts';
import { formatTraceparent, remoteContext } from './traceparent.ts';

type Told<Type extends RequestEvent['type']> = Extract<RequestEvent, { type: Type }>;

/** The codes for which the conventions blame a server; for any other the caller is told, and the span is no error. */
const SERVER_ERRORS: ReadonlySet<number> = new Set([
  Code.UNKNOWN,
  Code.DEADLINE_EXCEEDED,
  Code.UNIMPLEMENTED,
  Code.INTERNAL,
  Code.UNAVAILABLE,
  Code.DATA_LOSS,
]);

export class RequestSpans implements RequestWatch {
  readonly wantsContent: boolean;
  readonly #tracer: Tracer;
  readonly #now = spanClock();
  readonly #arrivedAt = this.#now();
  readonly #span: Span;
  readonly #context: Context;
  /** Open ones by epoch, in the order they started. */
  readonly #attempts = new Map<number, Span>();
  /** When what is done now, a search or a choice, began. */
  #choosingSince = this.#arrivedAt;
  #waiting: { readonly since: number; readonly model: string | undefined } | undefined;
  #answered = false;

  constructor(tracer: Tracer, request: RequestFacts, captureContent: boolean) {
    this.#tracer = tracer;
    const attributes = { ...callAttributes(request.method), [ATTR.responseId]: request.requestId };
    const parent = remoteContext(request.traceparent);
    this.#span = tracer.startSpan(request.method, { kind: SpanKind.SERVER, startTime: this.#arrivedAt, attributes }, parent);
    if (request.tenant !== undefined) this.#span.setAttribute(ATTR.tenant, request.tenant);
    this.#context = trace.setSpan(parent, this.#span);
    this.wantsContent = captureContent && this.#span.isRecording();
  }

  traceparent(): string {
    const attempt = [...this.#attempts.values()].at(-1);
    return formatTraceparent((attempt ?? this.#span).spanContext());
  }

  traceId(): string {
    return isSpanContextValid(this.#span.spanContext()) ? this.#span.spanContext().traceId : '';
  }

  tell(event: RequestEvent): void {
    // Nothing traces, or a node's last word on a cancelled attempt comes after the client has gone.
    if (!this.#span.isRecording()) return;
    const now = this.#now();
    this.#endWait(now);
    switch (event.type) {
      case 'searched':
        this.#stage(SPAN.cache, this.#choosingSince, now, { [ATTR.cacheWhere]: event.where, [ATTR.cacheFound]: event.found });
        this.#choosingSince = now;
        return;
      case 'accepted':
        this.#span.setAttributes({ [ATTR.target]: event.target, ...samplingAttributes(event.sampling) });
        return;
      case 'classified':
        this.#span.setAttributes(classificationAttributes(event));
        return;
      case 'waiting':
        this.#waiting = { since: now, model: event.model };
        return;
      case 'decided':
        this.#stage(SPAN.choose, this.#choosingSince, now, decisionAttributes(event));
        this.#span.setAttribute(ATTR.requestModel, event.model);
        return;
      case 'attempt_started':
        this.#attempts.set(event.epoch, this.#startAttempt(event, now));
        return;
      case 'first_token':
        this.#firstToken(event.epoch, now);
        return;
      case 'attempt_ended':
        this.#endAttempt(event, now);
        return;
      case 'migrated':
        this.#span.addEvent(
          SPAN_EVENT.migrated,
          { [ATTR.node]: event.node, [ATTR.errorType]: event.reason, [ATTR.tokens]: event.tokens },
          now,
        );
        return;
      case 'reused':
        this.#span.setAttributes(reusedAttributes(event));
        this.#answers(now);
        return;
      case 'content':
        this.#span.setAttributes(contentAttributes(event));
        return;
      case 'ended':
        this.#end(event, now);
    }
  }

  #stage(name: string, startTime: number, endTime: number, attributes: Attributes): void {
    this.#tracer.startSpan(name, { startTime, attributes }, this.#context).end(endTime);
  }

  #endWait(now: number): void {
    if (this.#waiting === undefined) return;
    const { since, model } = this.#waiting;
    this.#waiting = undefined;
    this.#stage(SPAN.queue, since, now, model === undefined ? {} : { [ATTR.requestModel]: model });
    this.#choosingSince = now;
  }

  #startAttempt(event: Told<'attempt_started'>, startTime: number): Span {
    const attributes = { [ATTR.node]: event.node, [ATTR.requestModel]: event.model, [ATTR.epoch]: event.epoch };
    this.#span.setAttributes({ [ATTR.node]: event.node, [ATTR.responseModel]: event.model });
    return this.#tracer.startSpan(SPAN.attempt, { kind: SpanKind.CLIENT, startTime, attributes }, this.#context);
  }

  #firstToken(epoch: number, now: number): void {
    this.#attempts.get(epoch)?.addEvent(SPAN_EVENT.firstToken, now);
    this.#answers(now);
  }

  #answers(now: number): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#span.setAttribute(ATTR.timeToFirstChunk, (now - this.#arrivedAt) / 1000);
  }

  #endAttempt(event: Told<'attempt_ended'>, now: number): void {
    const attempt = this.#attempts.get(event.epoch);
    this.#attempts.delete(event.epoch);
    this.#choosingSince = now;
    attempt?.setAttributes({ ...endAttributes(event), ...timingAttributes(event.timings) });
    if (attempt !== undefined && event.outcome === 'failed') markFailed(attempt, event.reason);
    attempt?.end(now);
  }

  #end(event: Told<'ended'>, now: number): void {
    // Those without a last word from their node end as the request did.
    for (const attempt of this.#attempts.values()) {
      attempt.setAttributes(endAttributes({ outcome: event.outcome, reason: event.reason }));
      if (event.outcome === 'failed') markFailed(attempt, event.reason);
      attempt.end(now);
    }
    this.#attempts.clear();
    this.#span.setAttributes({
      ...endAttributes(event),
      [ATTR.rpcStatus]: codeName(event.code),
      [ATTR.migrations]: event.migrations,
    });
    if (event.costUsd !== undefined) this.#span.setAttribute(ATTR.costUsd, event.costUsd);
    if (SERVER_ERRORS.has(event.code)) markFailed(this.#span, event.reason);
    this.#span.end(now);
  }
}
