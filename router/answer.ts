/** The events of a stream that the router itself writes. Pure. */
import { ChatResponse } from '../proto/gen/infermesh/v1/inference.ts';
import { framed } from '../proto/transport/framing.ts';
import type { RequestWatch } from '../telemetry/events.ts';
import type { Considered, Decision } from './select/candidate.ts';
import { decisionMessage } from './select/explain.ts';

/** One event, framed for the client's stream. */
export function event(value: NonNullable<ChatResponse['event']>): Buffer {
  return framed(ChatResponse.encode({ event: value }).finish());
}

export function startedEvent(requestId: string, { candidate }: Considered, decision: Decision, watch: RequestWatch): Buffer {
  const value = {
    requestId,
    node: candidate.node,
    model: candidate.model.name,
    traceId: watch.traceId(),
    tokenizerDigest: candidate.model.tokenizerDigest,
    decision: decisionMessage(decision),
  };
  return event({ $case: 'started', value });
}
