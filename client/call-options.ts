/** What a caller says of one call beside its request. */
import { Metadata } from '@grpc/grpc-js';
import { Fault } from '../proto/contract/faults.ts';
import type { CallFacts } from './router.ts';

export interface CallOptions {
  /** Ends the call; the engine stops within 100 ms. */
  readonly signal?: AbortSignal;
  /** From now; absent: 120,000; longest: 3,600,000. */
  readonly deadlineMs?: number;
  /** Sent along as gRPC metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Of a chat: whether another router, or the same one again, goes on where one was lost. Absent: as connected. */
  readonly failover?: boolean;
}

/** @throws Fault INVALID_REQUEST for metadata that HTTP/2 can't carry */
export function factsOf({ metadata, signal }: CallOptions, deadlineMs: number): CallFacts {
  return { metadata: metadataOf(metadata), deadline: Date.now() + deadlineMs, signal };
}

/** @throws Fault INVALID_REQUEST for a name or value that HTTP/2 headers can't carry */
function metadataOf(metadata: CallOptions['metadata'] = {}): Metadata {
  const all = new Metadata();
  for (const [name, value] of Object.entries(metadata)) {
    try {
      all.set(name, value);
    } catch (cause) {
      const description = `must be a lower-case ASCII name with a printable ASCII value, received ${value.length} characters`;
      throw new Fault('INVALID_REQUEST', `metadata ${description}`, { violations: [{ field: 'metadata', description }], cause });
    }
  }
  return all;
}
