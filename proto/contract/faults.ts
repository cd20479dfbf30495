/**
 * Everything that can go wrong, as one closed list. Code that fails throws or returns a `Fault`; anything else
 * that was thrown becomes one in `toFault`, once, and becomes a gRPC status in status.ts, once.
 */

/** gRPC status codes, by name. */
export const Code = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;
export type Code = (typeof Code)[keyof typeof Code];

interface Cause {
  readonly code: Code;
  /** Whether the same request may succeed a little later, here or elsewhere. */
  readonly retryable: boolean;
  /** For docs/errors.md: what it means to the caller. */
  readonly meaning: string;
}

/** The stable reasons of ErrorInfo. docs/errors.md lists exactly these. */
export const REASONS = {
  INVALID_REQUEST: {
    code: 3,
    retryable: false,
    meaning: 'A field is out of its bounds; the details name field, bound and value.',
  },
  MODEL_NOT_FOUND: { code: 5, retryable: false, meaning: 'No node serves the model or tier that was asked for.' },
  NODE_UNKNOWN: { code: 5, retryable: false, meaning: 'No node with that id is attached to this router.' },
  REQUEST_UNKNOWN: { code: 5, retryable: false, meaning: 'This router does not remember the request that was rated.' },
  NOT_CACHED: {
    code: 5,
    retryable: false,
    meaning: 'The request was to be answered from the cache or not at all, and its answer is not there.',
  },
  CONTEXT_TOO_LONG: { code: 9, retryable: false, meaning: 'The prompt does not fit the context of any model that could answer.' },
  UNSUPPORTED: {
    code: 9,
    retryable: false,
    meaning: 'No node that serves the model can do what was asked: structured output, its limits, zones or policy.',
  },
  QUEUE_FULL: {
    code: 8,
    retryable: true,
    meaning: 'Every slot is busy and the queue is full, or the engines take no more for now; the status says when to come back.',
  },
  NO_ROOM: {
    code: 8,
    retryable: true,
    meaning: 'The node has too little memory left for the model, or for more work.',
  },
  NO_NODE: { code: 14, retryable: true, meaning: 'The nodes that serve the model are all loading, draining or lost.' },
  NODE_LOST: { code: 14, retryable: true, meaning: 'The node that was answering died or fell silent.' },
  NODE_STALLED: { code: 14, retryable: true, meaning: 'The node that was answering gave nothing for too long.' },
  STREAM_NOT_RESUMABLE: {
    code: 14,
    retryable: true,
    meaning: 'The node died in the middle and no other can go on behind what was delivered; ask again for a whole answer.',
  },
  POISON_SUSPECTED: {
    code: 10,
    retryable: false,
    meaning: 'Two engines died on this request; it is not tried again for ten minutes.',
  },
  IDEMPOTENCY_CONFLICT: { code: 6, retryable: false, meaning: 'The idempotency key stands for another request.' },
  QUOTA_EXCEEDED: {
    code: 8,
    retryable: true,
    meaning: "The tenant's quota is used up for now; the status says when to come back.",
  },
  FORBIDDEN: { code: 7, retryable: false, meaning: 'The credential does not permit this.' },
  ENGINE_CRASHED: { code: 14, retryable: true, meaning: 'The inference engine died; the node is starting it again.' },
  ENGINE_FAILED: { code: 13, retryable: false, meaning: 'The inference engine refused or broke the request.' },
  DRAINING: { code: 14, retryable: true, meaning: 'The router or node is shutting down and takes nothing new.' },
  SLOW_CONSUMER: { code: 8, retryable: false, meaning: 'The client did not read its stream for too long.' },
  MODEL_UNAVAILABLE: {
    code: 9,
    retryable: false,
    meaning: 'The weights of a model are damaged, or cannot be fetched or kept here.',
  },
  DEADLINE_EXCEEDED: { code: 4, retryable: false, meaning: 'The deadline passed, or is too near for any node to meet.' },
  CANCELLED: { code: 1, retryable: false, meaning: 'The caller cancelled.' },
  UNAUTHENTICATED: { code: 16, retryable: false, meaning: 'The credential or join token is missing, wrong or expired.' },
  FENCED: { code: 10, retryable: false, meaning: 'A newer process with the same node id took over.' },
  UNREACHABLE: { code: 14, retryable: true, meaning: 'No connection to the address, or it was lost.' },
  INTERNAL: { code: 13, retryable: false, meaning: 'A defect of infermesh; please report it.' },
} as const satisfies Record<string, Cause>;
export type Reason = keyof typeof REASONS;

export function isReason(value: string): value is Reason {
  return Object.hasOwn(REASONS, value);
}

/** One field of a request that was refused. Neither text may contain what the user wrote. */
export interface Violation {
  /** Path as in the .proto file: messages[0].text. */
  readonly field: string;
  /** The bound and what came: "must be from 0 to 2, received 7". */
  readonly description: string;
}

export interface FaultDetails {
  readonly violations?: readonly Violation[];
  /** When to try again, in milliseconds from now. */
  readonly retryAfterMs?: number | undefined;
  /** Facts for ErrorInfo.metadata: node, model and the like; never the user's text. */
  readonly facts?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

export class Fault extends Error {
  override readonly name = 'Fault';
  readonly reason: Reason;
  readonly code: Code;
  readonly retryable: boolean;
  readonly violations: readonly Violation[];
  readonly retryAfterMs: number | undefined;
  readonly facts: Readonly<Record<string, string>>;

  constructor(reason: Reason, message: string, details: FaultDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.reason = reason;
    this.code = REASONS[reason].code;
    this.retryable = REASONS[reason].retryable;
    this.violations = details.violations ?? [];
    this.retryAfterMs = details.retryAfterMs;
    this.facts = details.facts ?? {};
  }
}

export function invalid(violations: readonly Violation[]): Fault {
  const [first] = violations;
  const more = violations.length > 1 ? ` (and ${violations.length - 1} more)` : '';
  const message = first === undefined ? 'the request is invalid' : `${first.field} ${first.description}${more}`;
  return new Fault('INVALID_REQUEST', message, { violations });
}

/**
 * The one place where something thrown becomes a fault. Its message goes to clients, so an unknown error's own
 * message, which may quote user text, stays in `cause` for the log's error class only.
 */
export function toFault(thrown: unknown): Fault {
  if (thrown instanceof Fault) return thrown;
  if (thrown instanceof Error && thrown.name === 'AbortError') return new Fault('CANCELLED', 'cancelled', { cause: thrown });
  const kind = thrown instanceof Error ? thrown.name : typeof thrown;
  return new Fault('INTERNAL', `unexpected ${kind}`, { cause: thrown });
}
