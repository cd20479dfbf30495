/** The events of a stream that the router itself writes, and reading back those it only passed on. Pure. */
import { ChatResponse } from '../proto/gen/infermesh/v1/inference.ts';
import type { ServedModel, Usage } from '../proto/gen/infermesh/v1/types.ts';
import { framed, messagesOf } from '../proto/transport/framing.ts';
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
    decision: decisionMessage(decision),
  };
  return event({ $case: 'started', value });
}

/** In US dollars, by the model's price. */
export function costOf({ price }: ServedModel, usage: Usage | undefined): number {
  if (!price || !usage) return 0;
  return (usage.inputTokens * price.inputUsdPerMillion + usage.outputTokens * price.outputUsdPerMillion) / 1e6;
}

/** The text of pieces as they went to the client. */
export function textOf(pieces: readonly Buffer[]): string {
  return pieces
    .flatMap(messagesOf)
    .map((message) => ChatResponse.decode(message).event)
    .map((one) => (one?.$case === 'delta' ? one.value.text : ''))
    .join('');
}
