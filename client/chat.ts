/**
 * One answer, by as many calls as it takes: when the router in use is lost, another one goes on behind what has come. The
 * reader sees one stream.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Fault, toFault } from '../proto/contract/faults.ts';
import type { ChatRequest, ChatResponse } from '../proto/gen/infermesh/v1/inference.ts';
import { clampDeadline } from '../proto/transport/deadline.ts';
import type { Answered } from './answered.ts';
import type { CallOptions } from './call-options.ts';
import { factsOf } from './call-options.ts';
import type { ChatEvent } from './events.ts';
import { Failover } from './failover.ts';
import { Progress } from './progress.ts';
import type { ChatInput } from './request.ts';
import { chatRequest } from './request.ts';
import type { CallFacts, Router, Streaming } from './router.ts';
import type { Routers } from './routers.ts';
import { Seen } from './seen.ts';

export interface Chat {
  readonly routers: Routers;
  readonly answered: Answered;
  readonly input: ChatInput;
  readonly options: CallOptions;
  /** Whether another call is made where one failed. */
  readonly failover: boolean;
}

/** The first call begins with the first step; leaving the iteration cancels the one that is open. @throws Fault */
export async function* streamChat({ routers, answered, input, options, failover }: Chat): AsyncGenerator<ChatEvent, void, void> {
  if (options.signal?.aborted) throw new Fault('CANCELLED', 'cancelled before it began');
  const request = chatRequest(input);
  const facts = factsOf(options, clampDeadline(options.deadlineMs));
  const progress = new Progress(failover);
  const policy = failover ? new Failover(routers.all.length, Math.random) : undefined;
  let router = routers.inUse;
  const seen = new Seen(router.address, request, options.metadata?.traceparent, progress);
  if (seen.traceparent) facts.metadata.set('traceparent', seen.traceparent);
  let call: Streaming<ChatResponse> | undefined;
  const abort = () => call?.cancel();
  facts.signal?.addEventListener('abort', abort, { once: true });
  try {
    for (;;) {
      let opened = false;
      call = open(router, request, progress, facts);
      try {
        for await (const { event } of call.messages) {
          if (!event) continue; // A newer router's event that this client does not know.
          opened = true;
          const news = progress.take(event);
          if (event.$case === 'started') remember(answered, router, progress);
          if (!news) continue;
          seen.event(news);
          yield news;
        }
        if (progress.finished) return;
        throw new Fault('NODE_LOST', 'the stream ended without a finish');
      } catch (thrown) {
        if (progress.finished) return;
        const fault = call.fault(thrown);
        const after = pauseAfter(fault, policy, progress, opened, facts);
        router = routers.after(router, fault);
        seen.moved(router.address, fault);
        await pause(after, undefined, facts.signal && { signal: facts.signal });
      } finally {
        call.cancel();
      }
    }
  } catch (thrown) {
    const fault = toFault(thrown);
    seen.failed(fault);
    throw fault;
  } finally {
    facts.signal?.removeEventListener('abort', abort);
    seen.left();
  }
}

function open(router: Router, chat: ChatRequest, progress: Progress, facts: CallFacts): Streaming<ChatResponse> {
  const delivered = progress.delivered();
  return delivered ? router.resume({ chat, delivered }, facts) : router.chat(chat, facts);
}

/** @throws Fault where the request ends with it */
function pauseAfter(
  fault: Fault,
  policy: Failover | undefined,
  progress: Progress,
  opened: boolean,
  { deadline, signal }: CallFacts,
): number {
  if (!policy || signal?.aborted) throw fault;
  const begun = progress.started !== undefined;
  const next = policy.next({ fault, begun, opened, tokens: progress.tokens, remainingMs: deadline - Date.now() });
  if (next.type === 'end') throw next.fault;
  if (!begun || progress.delivered()) return next.afterMs;
  throw new Fault('STREAM_NOT_RESUMABLE', 'the stream broke, and too much of the answer has come to go on behind it', {
    cause: fault,
  });
}

function remember(answered: Answered, router: Router, { started, answering }: Progress): void {
  if (started && answering) answered.remember(started.requestId, { router, requestId: answering.requestId });
}
