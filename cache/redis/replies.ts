/** What errors of Redis mean. Only codes of a closed list leave here: an error's text may hold names and values. */

/** Whoever says one of these serves nothing now. */
const SERVES_NOTHING = new Set(['LOADING', 'MASTERDOWN', 'CLUSTERDOWN', 'NOAUTH', 'WRONGPASS', 'BUSY']);
/** Whoever says one of these goes on reading, and writes nothing. */
const WRITES_NOTHING = new Set(['OOM', 'READONLY', 'MISCONF', 'NOREPLICAS']);
const OF_ONE_CALL = new Set(['WRONGTYPE', 'NOSCRIPT', 'NOPERM', 'CROSSSLOT', 'MOVED', 'ASK', 'TRYAGAIN', 'ERR']);
const OF_THE_SYSTEM = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EACCES'],
  ...['DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'CERT_HAS_EXPIRED'],
  ...['ERR_TLS_CERT_ALTNAME_INVALID', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'],
]);

/** What ioredis itself says of commands that had no reply. */
const LATE = 'Command timed out';
const LOST =
  /^(?:Connection is closed|Stream isn't writeable|Cluster isn't ready|Cluster is ended|Command aborted|Reached the max retries)/;

/** @returns a code of Redis or of the system, LATE, LOST, or OTHER */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'OTHER';
  const { code, message } = error as Error & { readonly code?: unknown };
  if (typeof code === 'string' && OF_THE_SYSTEM.has(code)) return code;
  if (message === LATE) return 'LATE';
  if (LOST.test(message)) return 'LOST';
  const [first = ''] = /^[A-Z]+/.exec(message) ?? [];
  return SERVES_NOTHING.has(first) || WRITES_NOTHING.has(first) || OF_ONE_CALL.has(first) ? first : 'OTHER';
}

export const servesNothing = (code: string) => SERVES_NOTHING.has(code);
export const writesNothing = (code: string) => WRITES_NOTHING.has(code);
