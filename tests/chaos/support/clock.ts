/** Milliseconds by the machine's monotonic clock: the same in all processes, so that their times can be compared. Linux. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Calls `look` until it gives something. @returns that, or undefined after `limitMs` */
export async function poll<T>(
  look: () => Promise<T | undefined> | T | undefined,
  limitMs: number,
  everyMs = 50,
): Promise<T | undefined> {
  const until = monotonicMs() + limitMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (monotonicMs() >= until) return undefined;
    await pause(everyMs);
  }
}
