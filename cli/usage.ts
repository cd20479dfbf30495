/** A mistake in how a command was called: told with exit code 2, where faults of the mesh end with 1. */
import type { Violation } from '../proto/contract/faults.ts';
import { Fault } from '../proto/contract/faults.ts';

export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly violations: readonly Violation[];

  constructor(message: string, violations: readonly Violation[] = []) {
    super(message);
    this.violations = violations;
  }
}

/** What was wrong with the call becomes a usage error; anything else stays what it is. */
export function asUsage<T>(read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    throw usageOf(thrown);
  }
}

/** What to throw in place of it. */
export function usageOf(thrown: unknown): unknown {
  const wrongCall = thrown instanceof Fault && thrown.reason === 'INVALID_REQUEST';
  return wrongCall ? new UsageError(thrown.message, thrown.violations) : thrown;
}
