/** A decision as clients, traces and `infermesh explain` see it. Pure. */
import type * as wire from '../../proto/gen/infermesh/v1/inference.ts';
import type { RequestEvent } from '../../telemetry/events.ts';
import type { Considered, Decision } from './candidate.ts';

const excluded = ({ exclusion }: Considered) => exclusion !== undefined;

export function decisionMessage({ considered, task, reason }: Decision): wire.Decision {
  return { task, reason, considered: considered.length, excluded: considered.filter(excluded).length };
}

export function explanation(decision: Decision): wire.ExplainResponse {
  const candidates = decision.considered.map(({ candidate, estimate, exclusion }, index) => ({
    node: candidate.node,
    model: candidate.model.name,
    chosen: index === 0 && decision.chosen !== undefined,
    exclusion: exclusion?.reason ?? '',
    expectedWaitMs: estimate.waitMs,
    expectedFirstTokenMs: estimate.firstTokenMs,
    expectedTotalMs: estimate.totalMs,
  }));
  return { decision: decisionMessage(decision), candidates };
}

export function decidedEvent(
  decision: Decision,
  { candidate, estimate }: Considered,
): Extract<RequestEvent, { type: 'decided' }> {
  return {
    type: 'decided',
    node: candidate.node,
    model: candidate.model.name,
    reason: decision.reason,
    considered: decision.considered.length,
    excluded: decision.considered.flatMap(({ candidate: { node, model }, exclusion }) =>
      exclusion ? [{ node, model: model.name, reason: exclusion.reason }] : [],
    ),
    expectedWaitMs: estimate.waitMs,
    expectedFirstTokenMs: estimate.firstTokenMs,
  };
}
