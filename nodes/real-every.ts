/** The system's timer, for what looks at something again and again. Returns the cancel. */
export function realEvery(ms: number, run: () => void): () => void {
  const timer = setInterval(run, ms);
  return () => clearInterval(timer);
}
