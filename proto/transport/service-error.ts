/** Fault <-> grpc-js' error objects; the mapping itself is contract/status.ts. */
import type { ServiceError, StatusObject } from '@grpc/grpc-js';
import { Metadata } from '@grpc/grpc-js';
import type { Fault } from '../contract/faults.ts';
import { faultOf, statusOf } from '../contract/status.ts';

export const DETAILS = 'grpc-status-details-bin';

export function serviceError(fault: Fault): ServiceError {
  const { code, message, details } = statusOf(fault);
  const metadata = new Metadata();
  metadata.set(DETAILS, details);
  if (fault.retryAfterMs !== undefined) metadata.set('grpc-retry-pushback-ms', String(Math.ceil(fault.retryAfterMs)));
  return Object.assign(new Error(message), { code, details: message, metadata });
}

/** What a client's call ended with, as a fault. */
export function faultOfStatus(status: Pick<StatusObject, 'code' | 'details' | 'metadata'>): Fault {
  const [details] = status.metadata?.get(DETAILS) ?? [];
  return faultOf(status.code, status.details, Buffer.isBuffer(details) ? details : undefined);
}
