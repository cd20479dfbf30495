/** Fault <-> google.rpc.Status, the only place where one becomes the other. */
import { BadRequest, ErrorInfo, RetryInfo } from '../gen/google/rpc/error_details.ts';
import { Status } from '../gen/google/rpc/status.ts';
import type { Failure } from '../gen/infermesh/v1/link.ts';
import type { Reason, Violation } from './faults.ts';
import { Code, Fault, isReason, REASONS } from './faults.ts';

/** Domain of every ErrorInfo that infermesh sends. */
export const ERROR_DOMAIN = 'infermesh';

/** A peer's HTTP/2 stack drops the whole connection over large trailers, so details stay far below any limit. */
export const MAX_DETAILS_BYTES = 4096;
const MAX_MESSAGE_CHARS = 512;

const typeUrl = (name: string) => `type.googleapis.com/google.rpc.${name}`;

/** What goes on the wire: code and message for every client, details for those that decode google.rpc.Status. */
export interface WireStatus {
  readonly code: number;
  readonly message: string;
  readonly details: Buffer;
}

export function statusOf(fault: Fault): WireStatus {
  // A lone surrogate makes grpc-js throw outside any handler.
  const message = clip(fault.message.toWellFormed(), MAX_MESSAGE_CHARS);
  for (let keep = Math.min(fault.violations.length, 16); ; keep = Math.floor(keep / 2)) {
    const details = encodeDetails(fault, message, fault.violations.slice(0, keep));
    if (details.length <= MAX_DETAILS_BYTES || keep === 0) return { code: fault.code, message, details };
  }
}

function encodeDetails(fault: Fault, message: string, violations: readonly Violation[]): Buffer {
  const facts = Object.entries(fault.facts).slice(0, 8);
  const metadata = Object.fromEntries(facts.map(([key, value]) => [clip(key, 64), clip(value.toWellFormed(), 128)]));
  const details = [
    { typeUrl: typeUrl('ErrorInfo'), value: bytes(ErrorInfo.encode({ reason: fault.reason, domain: ERROR_DOMAIN, metadata })) },
  ];
  if (fault.retryAfterMs !== undefined) {
    const seconds = Math.floor(fault.retryAfterMs / 1000);
    const nanos = Math.round((fault.retryAfterMs - seconds * 1000) * 1e6);
    details.push({ typeUrl: typeUrl('RetryInfo'), value: bytes(RetryInfo.encode({ retryDelay: { seconds, nanos } })) });
  }
  if (violations.length > 0) {
    const fieldViolations = violations.map((violation) => ({
      field: clip(violation.field.toWellFormed(), 128),
      description: clip(violation.description.toWellFormed(), 256),
    }));
    details.push({ typeUrl: typeUrl('BadRequest'), value: bytes(BadRequest.encode({ fieldViolations })) });
  }
  return bytes(Status.encode({ code: fault.code, message, details }));
}

/** However long a node says that its engine wants to be left alone: it may be wrong, or another may have taken its place. */
const LONGEST_REST_MS = 600_000;

/**
 * A fault as a node names it: its reason where we know it, else what the code says. When to try again is believed up to
 * ten minutes, and where another try could help.
 */
export function faultNamed({ reason: named, code, message, retryAfterMs }: Failure): Fault {
  const reason = isReason(named) ? named : reasonOfBareCode(code);
  const isTold = retryAfterMs > 0 && REASONS[reason].retryable;
  return new Fault(reason, message, isTold ? { retryAfterMs: Math.min(LONGEST_REST_MS, retryAfterMs) } : {});
}

/** Reads a status back into a fault. `details` is the trailer grpc-status-details-bin, where it came. */
export function faultOf(code: number, message: string, details?: Uint8Array): Fault {
  let reason: Reason = reasonOfBareCode(code);
  let retryAfterMs: number | undefined;
  let violations: readonly Violation[] = [];
  let facts: Record<string, string> = {};
  for (const detail of decodeDetails(details)) {
    if (detail.typeUrl === typeUrl('ErrorInfo')) {
      const info = ErrorInfo.decode(detail.value);
      if (info.domain === ERROR_DOMAIN && isReason(info.reason)) reason = info.reason;
      facts = info.metadata;
    } else if (detail.typeUrl === typeUrl('RetryInfo')) {
      const delay = RetryInfo.decode(detail.value).retryDelay;
      if (delay) retryAfterMs = delay.seconds * 1000 + delay.nanos / 1e6;
    } else if (detail.typeUrl === typeUrl('BadRequest')) {
      violations = BadRequest.decode(detail.value).fieldViolations;
    }
  }
  return new Fault(reason, message, { violations, facts, retryAfterMs });
}

function decodeDetails(details: Uint8Array | undefined) {
  if (!details) return [];
  try {
    return Status.decode(details).details;
  } catch {
    return []; // A foreign server's trailer; the code alone still tells what happened.
  }
}

/** For statuses without our details: from grpc-js itself, a proxy or another server. */
function reasonOfBareCode(code: number): Reason {
  switch (code) {
    case Code.CANCELLED:
      return 'CANCELLED';
    case Code.INVALID_ARGUMENT:
    case Code.OUT_OF_RANGE:
      return 'INVALID_REQUEST';
    case Code.DEADLINE_EXCEEDED:
      return 'DEADLINE_EXCEEDED';
    case Code.NOT_FOUND:
      return 'MODEL_NOT_FOUND';
    case Code.RESOURCE_EXHAUSTED:
      return 'QUEUE_FULL';
    case Code.FAILED_PRECONDITION:
    case Code.UNIMPLEMENTED:
      return 'UNSUPPORTED';
    case Code.ABORTED:
      return 'FENCED';
    case Code.UNAVAILABLE:
      return 'UNREACHABLE';
    case Code.UNAUTHENTICATED:
      return 'UNAUTHENTICATED';
    case Code.PERMISSION_DENIED:
      return 'FORBIDDEN';
    default:
      return 'INTERNAL';
  }
}

function bytes(writer: { finish(): Uint8Array }): Buffer {
  const array = writer.finish();
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength);
}

/** Cuts without leaving half a surrogate pair behind. */
function clip(text: string, chars: number): string {
  return text.length <= chars
    ? text
    : `${text
        .slice(0, chars - 1)
        .toWellFormed()
        .replace(/\uFFFD$/, '')}…`;
}
