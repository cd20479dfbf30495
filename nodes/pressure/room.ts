/** How much memory may still be taken. Pure. */
import type { LimitedMemory } from '../../telemetry/host/memory.ts';
import type { Marks } from './pressure.ts';

/** In bytes, before memory is short: what is loaded because somebody waits for it must not be what makes it so. */
export function roomIn(memory: readonly LimitedMemory[], { high }: Pick<Marks, 'high'>): number {
  return leastOf(memory, ({ usedBytes, limitBytes }) => limitBytes * high - usedBytes);
}

/** In bytes, to the limit: what an operator wants loaded is loaded, also into memory that is short then. */
export function freeIn(memory: readonly LimitedMemory[]): number {
  return leastOf(memory, ({ usedBytes, limitBytes }) => limitBytes - usedBytes);
}

/** Whoever has the least left bounds it, and that need not be the fullest. */
function leastOf(memory: readonly LimitedMemory[], left: (one: LimitedMemory) => number): number {
  return Math.max(0, Math.min(...memory.map(left)));
}
