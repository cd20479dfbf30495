/** Why something failed, as routers are told. Pure. */
import type { Reason } from '../proto/contract/faults.ts';
import { REASONS } from '../proto/contract/faults.ts';
import type { Failure } from '../proto/gen/infermesh/v1/link.ts';

interface Why {
  readonly reason: Reason;
  readonly message: string;
  /** In milliseconds. */
  readonly retryAfterMs?: number | undefined;
}

export function wireFailure({ reason, message, retryAfterMs = 0 }: Why): Failure {
  return { code: REASONS[reason].code, reason, message, retryAfterMs: Math.ceil(retryAfterMs) };
}
