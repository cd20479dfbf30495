/** What an attempt's end says of its node: the breakers' food. Pure. */
import type { Fault, Reason } from '../../proto/contract/faults.ts';
import type { FailureKind, Trial } from '../breakers/breakers.ts';

/** What is the node's own fault. Requests that can't be served, and nodes that give work back, are no failures. */
const KINDS: Readonly<Partial<Record<Reason, FailureKind>>> = {
  NODE_LOST: 'transport',
  NODE_STALLED: 'stall',
  ENGINE_CRASHED: 'engine',
  ENGINE_FAILED: 'engine',
};

/** @param fault undefined: it finished the answer */
export function judge(trial: Trial, fault: Fault | undefined): void {
  if (!fault) return trial.succeeded();
  const kind = KINDS[fault.reason];
  if (kind) trial.failed(kind);
  else trial.neutral();
}
