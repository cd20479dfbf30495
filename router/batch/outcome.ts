/** What becomes of an item, as its client gets it. Pure. */
import type { Fault } from '../../proto/contract/faults.ts';
import { statusOf } from '../../proto/contract/status.ts';
import { BatchResponse } from '../../proto/gen/infermesh/v1/inference.ts';
import { framed } from '../../proto/transport/framing.ts';

export type Outcome = NonNullable<BatchResponse['outcome']>;

export function failure(fault: Fault): Outcome {
  const { code, message } = statusOf(fault);
  const retryAfterMs = Math.ceil(fault.retryAfterMs ?? 0);
  return { $case: 'failure', value: { code, reason: fault.reason, message, retryAfterMs } };
}

/** As it goes on the stream. */
export function outcomeBytes(id: string, outcome: Outcome): Buffer {
  return framed(BatchResponse.encode({ id, outcome }).finish());
}
