/** CacheService: evidence that clients keep for their later requests, each tenant its own. */
import type { Cache, Hit, Key, StoredEvidence } from '../../cache/port.ts';
import {
  bytesOfEvidence,
  checkDeleteEvidence,
  checkGetEvidence,
  checkPutEvidence,
  MAX_FOUND_BYTES,
} from '../../proto/contract/evidence.ts';
import { invalid } from '../../proto/contract/faults.ts';
import type { FoundEvidence } from '../../proto/gen/infermesh/v1/cache.ts';
import {
  DeleteEvidenceRequest,
  DeleteEvidenceResponse,
  GetEvidenceRequest,
  GetEvidenceResponse,
  PutEvidenceRequest,
  PutEvidenceResponse,
} from '../../proto/gen/infermesh/v1/cache.ts';
import type { CallContext } from '../../proto/transport/handlers.ts';
import { unary } from '../../proto/transport/handlers.ts';
import type { Handler } from '../../proto/transport/server.ts';
import type { Clock } from '../clock.ts';
import type { Callers } from '../trust/callers.ts';

/** Looked for at a time: one that asks for much holds nobody else up. */
const KEYS_AT_A_TIME = 4;

export interface CacheServiceParts {
  readonly cache: Pick<Cache, 'keys' | 'evidence'>;
  readonly callers: Pick<Callers, 'tenantOf'>;
  readonly clock: Pick<Clock, 'wall'>;
}

export function cacheHandlers(parts: CacheServiceParts): Record<string, Handler> {
  return {
    putEvidence: unary(PutEvidenceRequest, PutEvidenceResponse, 'PutEvidenceRequest', (request, context) => {
      const keyOf = ofTenant(parts, context);
      const { key, evidence, ttlSeconds } = checkPutEvidence(request);
      const ttlMs = ttlSeconds === undefined ? undefined : ttlSeconds * 1000;
      parts.cache.evidence.put(keyOf(key), { evidence, putAtMs: parts.clock.wall() }, ttlMs);
      return {};
    }),
    getEvidence: unary(GetEvidenceRequest, GetEvidenceResponse, 'GetEvidenceRequest', async (request, context) => {
      const keyOf = ofTenant(parts, context);
      const { keys } = checkGetEvidence(request);
      return { found: await findAll(keys.map(keyOf), parts) };
    }),
    deleteEvidence: unary(DeleteEvidenceRequest, DeleteEvidenceResponse, 'DeleteEvidenceRequest', async (request, context) => {
      const keyOf = ofTenant(parts, context);
      const { key } = checkDeleteEvidence(request);
      return { existed: await parts.cache.evidence.delete(keyOf(key)) };
    }),
  };
}

/** @throws Fault UNAUTHENTICATED or FORBIDDEN */
function ofTenant({ cache, callers }: CacheServiceParts, context: CallContext): (key: string) => Key {
  const keys = cache.keys.of(callers.tenantOf(context));
  return (key) => keys.key('evidence', Buffer.from(key));
}

/** @throws Fault INVALID_REQUEST when it is more than fits into one message */
async function findAll(keys: readonly Key[], { cache, clock }: CacheServiceParts): Promise<FoundEvidence[]> {
  const found: FoundEvidence[] = [];
  let bytes = 0;
  for (let at = 0; at < keys.length; at += KEYS_AT_A_TIME) {
    for (const hit of await cache.evidence.findAll(keys.slice(at, at + KEYS_AT_A_TIME))) {
      bytes += hit ? bytesOfEvidence(hit.value.evidence) : 0;
      if (bytes > MAX_FOUND_BYTES) throw tooMuch(keys.length, bytes);
      found.push(foundEvidence(hit, clock.wall()));
    }
  }
  return found;
}

function foundEvidence(hit: Hit<StoredEvidence> | undefined, now: number): FoundEvidence {
  return hit ? { evidence: hit.value.evidence, ageMs: Math.max(0, now - hit.value.putAtMs) } : { ageMs: 0 };
}

function tooMuch(keys: number, bytes: number) {
  const [most, received] = [MAX_FOUND_BYTES, bytes].map((count) => count.toLocaleString('en'));
  const description = `must be of evidence with at most ${most} bytes together, received ${keys} with ${received} and more`;
  return invalid([{ field: 'keys', description }]);
}
