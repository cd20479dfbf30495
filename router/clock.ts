/** Time as the core sees it: handed in, so that tests turn it by hand. */
export interface Clock {
  /** Milliseconds, monotonic. */
  now(): number;
  /** Milliseconds since 1970, which may jump; for what outlives the process. */
  wall(): number;
  /** Runs it once `now` has grown by `ms`, never before. Returns the cancel. */
  after(ms: number, run: () => void): () => void;
  /** Returns the cancel. */
  every(ms: number, run: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (ms, run) => {
    const dueAt = performance.now() + ms;
    // Node's timers count whole milliseconds: about one in a hundred comes a fraction early. Who is woken then to see that
    // a time is over would see that it is not, and sleep for good.
    const due = () => {
      const leftMs = dueAt - performance.now();
      if (leftMs <= 0) run();
      else timer = setTimeout(due, Math.ceil(leftMs));
    };
    let timer = setTimeout(due, ms);
    return () => clearTimeout(timer);
  },
  every: (ms, run) => {
    const timer = setInterval(run, ms);
    return () => clearInterval(timer);
  },
};
