/** The bounds of evidence, as stated in proto/infermesh/v1/cache.proto, and the checks at the edge. */
import { z } from 'zod';
import type { DeleteEvidenceRequest, Evidence, GetEvidenceRequest, PutEvidenceRequest } from '../gen/infermesh/v1/cache.ts';
import { bytes, bytesOf, checked, text, whole } from './bounds.ts';
import { invalid } from './faults.ts';

/** Of one piece of evidence: its texts, sources and metadata together. */
export const MAX_EVIDENCE_BYTES = 1_048_576;
/** Of all that one call gets: within what gRPC clients take in one message, which is 4 MiB unless they are told otherwise. */
export const MAX_FOUND_BYTES = 3_145_728;
export const MOST_KEYS = 64;
const MOST_CHUNKS = 1024;
const MOST_METADATA = 64;
const LONGEST = 1024;

const key = bytes(1, LONGEST);

const metadata = z
  .record(z.string(), text)
  .refine((all) => Object.keys(all).length <= MOST_METADATA, `must be at most ${MOST_METADATA}`)
  .refine((all) => Object.keys(all).every((name) => isBetween(bytesOf(name), 1, 64)), 'must have names of 1 to 64 bytes')
  .refine((all) => Object.values(all).every((value) => bytesOf(value) <= LONGEST), 'must have values of up to 1,024 bytes');

const chunk = z.object({
  text,
  source: bytes(0, LONGEST),
  score: z.number({ error: 'must be a finite number' }),
  metadata,
});

const evidence = z.object({
  chunks: z
    .array(chunk)
    .min(1, 'must be 1 to 1,024')
    .max(MOST_CHUNKS, 'must be 1 to 1,024')
    .refine((chunks) => bytesOfEvidence({ chunks }) <= MAX_EVIDENCE_BYTES, 'must have at most 1,048,576 bytes together'),
});

const put = z.object({ key, evidence, ttlSeconds: whole(1, 86_400).optional() });
const get = z.object({ keys: z.array(key).min(1, 'must be 1 to 64').max(MOST_KEYS, 'must be 1 to 64') });
const remove = z.object({ key });

/** @throws Fault INVALID_REQUEST with every violation */
export function checkPutEvidence(request: PutEvidenceRequest): PutEvidenceRequest & { evidence: Evidence } {
  if (request.evidence) return checked(put, { ...request, evidence: request.evidence });
  throw invalid([{ field: 'evidence', description: 'must be given, received nothing' }]);
}

/** @throws Fault INVALID_REQUEST with every violation */
export function checkGetEvidence(request: GetEvidenceRequest): GetEvidenceRequest {
  return checked(get, request);
}

/** @throws Fault INVALID_REQUEST */
export function checkDeleteEvidence(request: DeleteEvidenceRequest): DeleteEvidenceRequest {
  return checked(remove, request);
}

/** Of texts, sources and metadata. */
export function bytesOfEvidence({ chunks }: Evidence): number {
  let sum = 0;
  for (const { text: one, source, metadata: pairs } of chunks) {
    sum += bytesOf(one) + bytesOf(source);
    for (const [name, value] of Object.entries(pairs)) sum += bytesOf(name) + bytesOf(value);
  }
  return sum;
}

function isBetween(value: number, low: number, high: number): boolean {
  return value >= low && value <= high;
}
