/** What an attempt came to. Pure. */
import { Fault } from '../../proto/contract/faults.ts';
import { faultNamed } from '../../proto/contract/status.ts';
import type { Ended, Finish } from '../../proto/gen/infermesh/v1/link.ts';
import { FinishReason } from '../../proto/gen/infermesh/v1/types.ts';
import type { RequestEvent } from '../../telemetry/events.ts';
import type { AttemptResult } from './attempt.ts';

export function finishOf({ outcome }: Ended): Finish | undefined {
  return outcome?.$case === 'finish' ? outcome.value : undefined;
}

/** Why it gave no complete answer; undefined when it did. */
export function faultIn(result: AttemptResult): Fault | undefined {
  if (result.type === 'failed') return result.fault;
  const { outcome, tokens } = result.ended;
  if (outcome?.$case === 'failure') {
    const fault = faultNamed(outcome.value);
    // Nobody here cancelled: the node ended it for reasons of its own.
    return fault.reason === 'CANCELLED' ? new Fault('NODE_LOST', 'the node gave the request up') : fault;
  }
  if (!outcome || outcome.value.reason === FinishReason.FINISH_REASON_UNSPECIFIED)
    return new Fault('NODE_LOST', 'the node ended without a finish reason');
  if (tokens !== result.tokens) return new Fault('NODE_LOST', `the node gave ${tokens} tokens and sent ${result.tokens}`);
  return undefined;
}

export function endedEvent(
  epoch: number,
  result: AttemptResult,
  fault: Fault | undefined,
): Extract<RequestEvent, { type: 'attempt_ended' }> {
  const ended = result.type === 'ended' ? result.ended : undefined;
  const finish = ended && finishOf(ended);
  return {
    type: 'attempt_ended',
    epoch,
    outcome: fault === undefined ? 'finished' : fault.reason === 'CANCELLED' ? 'cancelled' : 'failed',
    ...(fault ? { reason: fault.reason } : {}),
    ...(finish ? { finishReason: finish.reason } : {}),
    ...(finish?.usage ? { usage: finish.usage } : {}),
    tokens: ended?.tokens ?? result.tokens,
    ...(ended?.timings ? { timings: ended.timings } : {}),
  };
}
