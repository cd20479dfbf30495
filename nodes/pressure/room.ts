/** How much memory may still be taken. Pure. */
import type { LimitedMemory } from '../../telemetry/host/memory.ts';
import type { Marks } from './pressure.ts';

/** In bytes, before memory is short: what is loaded because somebody waits for it must not be what makes it so. */
export function roomIn({ usedBytes, limitBytes }: LimitedMemory, { high }: Pick<Marks, 'high'>): number {
  return Math.max(0, limitBytes * high - usedBytes);
}

/** In bytes, to the limit: what an operator wants loaded is loaded, also into memory that is short then. */
export function freeIn({ usedBytes, limitBytes }: LimitedMemory): number {
  return Math.max(0, limitBytes - usedBytes);
}
