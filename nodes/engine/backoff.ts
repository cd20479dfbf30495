/** How long to wait before an engine is started again. Pure. */

export const BACKOFF = {
  firstMs: 250,
  longestMs: 30_000,
  /** An engine that served this long has recovered; the next crash begins at the first pause again. */
  recoveredAfterMs: 60_000,
} as const;

/**
 * @param crashesInRow 1 and more
 * @param random from 0 to below 1; spreads the pauses over the upper half, so that engines that died together do not return together
 */
export function restartDelayMs(crashesInRow: number, random: number): number {
  const full = Math.min(BACKOFF.longestMs, BACKOFF.firstMs * 2 ** (crashesInRow - 1));
  return Math.round((full / 2) * (1 + random));
}
