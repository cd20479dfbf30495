/**
 * A clock for the spans of one request: milliseconds since 1970 with fractions, that never go back. Spans of several
 * processes are laid side by side, so it starts from the wall clock; from then on it is monotonic, so that a
 * wall clock set by an hour does not stretch a span by one.
 */
export function spanClock(): () => number {
  const startedAt = performance.now();
  const wallAtStart = wallMs(startedAt);
  return () => wallAtStart + (performance.now() - startedAt);
}

/** Date.now() cuts the fraction off, and performance.timeOrigin misses what the wall clock was set by since the start. */
function wallMs(monotonicMs: number): number {
  const fine = performance.timeOrigin + monotonicMs;
  const coarse = Date.now();
  return Math.abs(fine - coarse) < 2 ? fine : coarse;
}
