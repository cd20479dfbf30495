/** One attempt on its node as a span, with the engine's phases as children. */
import type { Context, Span, Tracer } from '@opentelemetry/api';
import { SpanKind, trace } from '@opentelemetry/api';
import { endAttributes, markFailed, timingAttributes } from './attributes.ts';
import { spanClock } from './clock.ts';
import type { WorkEvent, WorkFacts, WorkWatch } from './events.ts';
import { ATTR, SPAN, SPAN_EVENT } from './names.ts';
import { remoteContext } from './traceparent.ts';

type Ended = Extract<WorkEvent, { type: 'ended' }>;

export class WorkSpans implements WorkWatch {
  readonly #tracer: Tracer;
  readonly #now = spanClock();
  readonly #arrivedAt = this.#now();
  readonly #span: Span;
  readonly #context: Context;
  #reached: 'queue' | 'prefill' | 'decode' = 'queue';

  constructor(tracer: Tracer, work: WorkFacts) {
    this.#tracer = tracer;
    const attributes = {
      [ATTR.provider]: 'infermesh',
      [ATTR.operation]: work.operation ?? 'chat',
      [ATTR.requestModel]: work.model,
      [ATTR.node]: work.node,
      [ATTR.linkRequest]: work.request,
      [ATTR.epoch]: work.epoch,
    };
    const parent = remoteContext(work.traceparent);
    this.#span = tracer.startSpan(SPAN.work, { kind: SpanKind.SERVER, startTime: this.#arrivedAt, attributes }, parent);
    this.#context = trace.setSpan(parent, this.#span);
  }

  tell(event: WorkEvent): void {
    if (!this.#span.isRecording()) return;
    const now = this.#now();
    switch (event.type) {
      case 'prefilling':
        this.#reached = 'prefill';
        return;
      case 'first_token':
        this.#reached = 'decode';
        this.#span.addEvent(SPAN_EVENT.firstToken, now);
        return;
      case 'ended':
        this.#end(event, now);
    }
  }

  #end(event: Ended, now: number): void {
    this.#enginePhases(event, now);
    this.#span.setAttributes({ ...endAttributes(event), ...timingAttributes(event.timings) });
    if (event.outcome === 'failed') markFailed(this.#span, event.reason);
    this.#span.end(now);
  }

  /**
   * The engine says at the end how long each phase was by its own clock; they are laid one after the other from the
   * arrival, those that the attempt reached, and none beyond its end.
   */
  #enginePhases({ timings, tokens, usage }: Ended, end: number): void {
    const queued = Math.min(end, this.#arrivedAt + timings.queueMs);
    const prefilled = Math.min(end, queued + timings.prefillMs);
    const decoded = Math.min(end, prefilled + timings.decodeMs);
    this.#phase(SPAN.engineQueue, this.#arrivedAt, queued);
    if (this.#reached === 'queue') return;
    this.#phase(SPAN.enginePrefill, queued, prefilled, ATTR.inputTokens, usage?.inputTokens);
    if (this.#reached === 'prefill') return;
    this.#phase(SPAN.engineDecode, prefilled, decoded, ATTR.outputTokens, usage?.outputTokens ?? tokens);
  }

  #phase(name: string, startTime: number, endTime: number, counted?: string, tokens?: number): void {
    const attributes = counted === undefined || tokens === undefined ? {} : { [counted]: tokens };
    this.#tracer.startSpan(name, { startTime, attributes }, this.#context).end(endTime);
  }
}
