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
