/** The events of a stream that the router itself writes. Pure. */
import type { Started } from '../proto/gen/infermesh/v1/inference.ts';
import { ChatResponse } from '../proto/gen/infermesh/v1/inference.ts';
import { framed } from '../proto/transport/framing.ts';
import type { RequestWatch } from '../telemetry/events.ts';
import type { Considered, Decision } from './select/candidate.ts';
import { decisionMessage } from './select/explain.ts';

/** One event, framed for the client's stream. */
export function event(value: NonNullable<ChatResponse['event']>): Buffer {
  return framed(ChatResponse.encode({ event: value }).finish());
}

/** How often the stream moved to another node, for those who read no events. */
export const MIGRATIONS_TRAILER = 'infermesh-migrations';

export function startedBy(requestId: string, { candidate }: Considered, decision: Decision, watch: RequestWatch): Started {
  return {
    requestId,
    node: candidate.node,
    model: candidate.model.name,
    traceId: watch.traceId(),
    tokenizerDigest: candidate.model.tokenizerDigest,
    decision: decisionMessage(decision),
  };
}
