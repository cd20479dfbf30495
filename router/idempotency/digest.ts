/** Digests of idempotency keys and of requests, so that nothing that a client sent is kept in the clear. */
import { createHash } from 'node:crypto';
import { ChatRequest } from '../../proto/gen/infermesh/v1/inference.ts';

const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('base64');

/** @param tenant undefined where nobody tells tenants apart */
export function keyDigest(tenant: string | undefined, key: string): string {
  // No key has a space, so no two tenants' keys meet.
  return sha256(`${tenant ?? ''} ${key}`);
}

/** Of everything but the key itself; the order in which labels came does not count. */
export function bodyDigest(chat: ChatRequest): string {
  const labels = Object.fromEntries(Object.entries(chat.labels).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return sha256(ChatRequest.encode({ ...chat, idempotencyKey: '', labels }).finish());
}
