/** What an engine draws, where nobody has said it. Pure. */

/**
 * An assumption, not a measurement: server processors draw some 3 to 6 W for each hardware thread that works, and the
 * memory, the power supply and the cooling as much again.
 */
export const WATTS_PER_THREAD = 10;

/** @returns watts while it generates; 0, unknown, for work on a GPU, whose draw its threads do not tell */
export function assumedWatts(threads: number, gpuLayers: number): number {
  return gpuLayers > 0 ? 0 : threads * WATTS_PER_THREAD;
}
