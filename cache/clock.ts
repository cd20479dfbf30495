/** Time, handed in. The same shape as the router's clock. */
export interface Clock {
  /** Milliseconds, monotonic. */
  now(): number;
  /** Milliseconds since 1970, which may jump; for what outlives the process. */
  wall(): number;
  /** Returns the cancel. */
  after(ms: number, run: () => void): () => void;
  /** Returns the cancel. */
  every(ms: number, run: () => void): () => void;
}

/** For an LRU cache that goes by this clock; it takes a time of 0 for none. */
export function lruTime(clock: Pick<Clock, 'now'>) {
  return { ttlResolution: 0, perf: { now: () => clock.now() + 1 } };
}

/** A lifetime as stores take it. */
export function wholeMs(ms: number): number {
  return Math.max(1, Math.ceil(ms));
}
