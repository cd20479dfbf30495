/**
 * One batch, by as many calls as it takes: when the router in use is lost, another one goes on with what has no outcome
 * yet. The caller gets one outcome for each item.
 *
 * Two things go on beside the caller's iteration: items are sent as fast as the router takes them, and outcomes are read as
 * fast as the caller does.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { checkWindow } from '../proto/contract/batch-bounds.ts';
import { Code, Fault, invalid, toFault } from '../proto/contract/faults.ts';
import type { BatchRequest, BatchResponse } from '../proto/gen/infermesh/v1/inference.ts';
import { MAX_DEADLINE_MS } from '../proto/transport/deadline.ts';
import type { ClientCall } from '../telemetry/client-span.ts';
import { startClientCall } from '../telemetry/client-span.ts';
import type { Answered } from './answered.ts';
import { BatchFailover } from './batch-failover.ts';
import type { BatchItem, BatchOutcome } from './batch-items.ts';
import { batchRequest, failed, outcomeOf } from './batch-items.ts';
import { Source } from './batch-source.ts';
import type { CallOptions } from './call-options.ts';
import { factsOf } from './call-options.ts';
import { HandOver } from './hand-over.ts';
import type { CallFacts, Exchange, Router } from './router.ts';
import type { Routers } from './routers.ts';
import { serverOf } from './seen.ts';

const METHOD = 'infermesh.v1.InferenceService/Batch';
/** A call sends nothing more after so long, so that what is at work ends well within the longest deadline; then the next begins. */
const SENDING_MS = MAX_DEADLINE_MS / 2;

export interface BatchOptions extends Omit<CallOptions, 'deadlineMs'> {
  /** The most items at the same time, 1 to 1,024; absent: as many as the fleet has slots for. */
  readonly window?: number;
  /** For the whole batch, from now; absent: it takes as long as it takes. */
  readonly deadlineMs?: number;
}

export interface BatchParts {
  readonly routers: Routers;
  readonly answered: Answered;
  readonly items: Iterable<BatchItem> | AsyncIterable<BatchItem>;
  readonly options: BatchOptions;
  readonly failover: boolean;
}

/** The first call begins with the first step; leaving the iteration cancels the one that is open. @throws Fault */
export async function* streamBatch(parts: BatchParts): AsyncGenerator<BatchOutcome, void, void> {
  const { signal } = parts.options;
  if (signal?.aborted) throw new Fault('CANCELLED', 'cancelled before it began');
  const batch = new Batch(parts);
  const abort = () => batch.cancel();
  signal?.addEventListener('abort', abort, { once: true });
  const working = batch.run();
  try {
    for (;;) {
      const outcome = await batch.outcomes.take();
      if (!outcome) return;
      yield outcome;
    }
  } finally {
    signal?.removeEventListener('abort', abort);
    batch.outcomes.abandon();
    batch.cancel();
    await working;
  }
}

/** An item that has no outcome yet. */
interface Pending {
  readonly request: BatchRequest;
  times: number;
}

class Batch {
  readonly outcomes = new HandOver<BatchOutcome>();
  readonly #parts: BatchParts;
  readonly #window: number | undefined;
  readonly #source: Source<BatchItem>;
  readonly #policy: BatchFailover;
  readonly #pending = new Map<string, Pending>();
  readonly #deadline: number;
  readonly #span: ClientCall;
  readonly #leave = new AbortController();
  #call: Exchange<BatchRequest, BatchResponse> | undefined;
  /** What the items threw. */
  #broken: { readonly thrown: unknown } | undefined;
  /** The last failure that told of a router, not of its item. */
  #ofRouter: Fault | undefined;

  /** @throws Fault INVALID_REQUEST */
  constructor(parts: BatchParts) {
    const { routers, items, options, failover } = parts;
    this.#parts = parts;
    this.#window = checkWindow(options.window);
    this.#source = new Source(items);
    this.#policy = new BatchFailover(failover ? routers.all.length : 0, Math.random);
    this.#deadline = Date.now() + (options.deadlineMs ?? Number.POSITIVE_INFINITY);
    const traceparent = options.metadata?.traceparent;
    const server = serverOf(routers.inUse.address);
    this.#span = startClientCall(METHOD, { server, ...(traceparent === undefined ? {} : { traceparent }) });
  }

  /** Resolves when it is over, however it ends: `outcomes` tells. */
  async run(): Promise<void> {
    try {
      await this.#goOn();
      this.#span.end({ outcome: 'finished', code: Code.OK });
      this.outcomes.close();
    } catch (thrown) {
      const { reason, code } = toFault(thrown);
      this.#span.end({ outcome: reason === 'CANCELLED' ? 'cancelled' : 'failed', code, reason });
      this.outcomes.close({ thrown });
    }
    await this.#source.close().catch(() => {});
  }

  cancel(): void {
    this.#leave.abort();
    this.#call?.cancel();
    this.#source.interrupt();
  }

  /** @throws Fault, or what the items throw */
  async #goOn(): Promise<void> {
    const { routers } = this.#parts;
    const { signal } = this.#leave;
    for (let router = routers.inUse; ; ) {
      const fault = await this.#once(router);
      if (this.#broken) throw this.#broken.thrown;
      if (signal.aborted) throw new Fault('CANCELLED', 'cancelled before the batch ended');
      if (!fault && this.#source.isOver && this.#pending.size === 0) return;
      const cause = fault ?? this.#ofRouter;
      this.#ofRouter = undefined;
      // The call had only become old.
      if (!cause) continue;
      const afterMs = this.#policy.next(fault);
      router = routers.after(router, cause);
      this.#span.failover({ server: serverOf(router.address), reason: cause.reason, tokens: 0 });
      await pause(afterMs, undefined, { signal }).catch((thrown: unknown) => {
        throw toFault(thrown);
      });
    }
  }

  /** @returns what the call ended with; undefined: in order. @throws Fault DEADLINE_EXCEEDED */
  async #once(router: Router): Promise<Fault | undefined> {
    const call = router.batch(this.#facts());
    this.#call = call;
    const finish = () => this.#finish(call);
    const aged = setTimeout(finish, SENDING_MS).unref();
    const sending = this.#send(call);
    try {
      for await (const response of call.messages) await this.#take(response, router, finish);
      return undefined;
    } catch (thrown) {
      return call.fault(thrown);
    } finally {
      clearTimeout(aged);
      call.cancel();
      this.#source.interrupt();
      await sending;
    }
  }

  #facts(): CallFacts {
    const remainingMs = this.#deadline - Date.now();
    if (remainingMs <= 0) throw new Fault('DEADLINE_EXCEEDED', 'the deadline of the batch passed before its end');
    const facts = factsOf(this.#parts.options, Math.min(MAX_DEADLINE_MS, remainingMs));
    if (this.#span.traceparent) facts.metadata.set('traceparent', this.#span.traceparent);
    return facts;
  }

  /** What is at work ends, and the call with it. */
  #finish(call: Exchange<BatchRequest, BatchResponse>): void {
    call.finish();
    this.#source.interrupt();
  }

  /** What had no outcome first, then what is new. */
  async #send(call: Exchange<BatchRequest, BatchResponse>): Promise<void> {
    let isFirst = true;
    const send = (one: Pending) => {
      one.times++;
      const request = isFirst && this.#window !== undefined ? { ...one.request, window: this.#window } : one.request;
      isFirst = false;
      return call.send(request);
    };
    try {
      for (const one of [...this.#pending.values()]) if (!(await send(one))) return;
      // A call may have ended while a wrong item was told.
      while (call.isOpen) {
        const item = await this.#source.next();
        if (!item) return call.finish();
        const pending = this.#accepted(item);
        if (pending instanceof Fault) await this.outcomes.give(failed(item.id, pending));
        else await send(pending);
      }
    } catch (thrown) {
      this.#broken = { thrown };
      call.cancel();
    }
  }

  /** @returns why it is not sent, where it is wrong */
  #accepted(item: BatchItem): Pending | Fault {
    try {
      if (this.#pending.has(item.id)) throw invalid([{ field: 'id', description: 'must be once in a batch, received it twice' }]);
      const pending = { request: batchRequest(item), times: 0 };
      this.#pending.set(item.id, pending);
      return pending;
    } catch (thrown) {
      return toFault(thrown);
    }
  }

  async #take(response: BatchResponse, router: Router, finish: () => void): Promise<void> {
    const pending = this.#pending.get(response.id);
    if (!pending) return;
    const outcome = outcomeOf(response);
    if (outcome.type === 'failed' && this.#policy.isOfRouter(outcome.fault, pending.times)) {
      this.#ofRouter = outcome.fault;
      return finish();
    }
    this.#pending.delete(response.id);
    this.#policy.came();
    if (outcome.type === 'answer') {
      const { requestId } = outcome.started;
      this.#parts.answered.remember(requestId, { router, requestId });
    }
    await this.outcomes.give(outcome);
  }
}
