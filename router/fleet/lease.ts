/**
 * How long a silent node is trusted. Pure; all times in milliseconds of one monotonic clock, so that a jump of the wall
 * clock changes nothing.
 */
export const REPORT_INTERVAL_MS = 1000;
export const SUSPECT_AFTER_MS = 2500;
export const EXPIRE_AFTER_MS = 5000;
/** How often leases are looked at. */
export const CHECK_INTERVAL_MS = 100;
/** A check later than this means that the router itself stood still, and the reports wait unread in its sockets. */
export const MAX_LAG_MS = 500;

export type Lease = 'held' | 'suspect' | 'expired';

export function leaseAt(now: number, lastHeardAt: number): Lease {
  const age = now - lastHeardAt;
  if (age >= EXPIRE_AFTER_MS) return 'expired';
  return age >= SUSPECT_AFTER_MS ? 'suspect' : 'held';
}

/** How much to forgive every lease after a check that was due at `dueAt` ran at `now`. */
export function forgiveness(now: number, dueAt: number): number {
  const lag = now - dueAt;
  return lag > MAX_LAG_MS ? lag : 0;
}
