/** The machine that a node runs on: what it has, and how full its memory is. */
import { bytesIn } from '../proto/contract/settings.ts';
import type { Hardware } from '../proto/gen/infermesh/v1/types.ts';
import type { LimitedMemory } from '../telemetry/host/memory.ts';
import { openMemory } from '../telemetry/host/memory.ts';
import { detectHardware } from './hardware.ts';
import { marksOf } from './pressure/marks.ts';
import type { Marks } from './pressure/pressure.ts';
import { freeIn, roomIn } from './pressure/room.ts';
import type { NodeSettings } from './settings.ts';

export interface Machine {
  readonly hardware: Hardware;
  readonly memory: () => readonly LimitedMemory[];
  readonly marks: Marks;
  /** What all models together may take. */
  readonly budgetBytes: number;
  /** What may still be taken of memory now; less for what is loaded on demand. */
  freeBytes(onDemand: boolean): number;
}

export async function openMachine(settings: NodeSettings): Promise<Machine> {
  const hardware = await detectHardware();
  const { memoryLimit, memoryBudget } = settings;
  const allowed = memoryLimit === undefined ? undefined : bytesIn(memoryLimit, hardware.memoryBytes);
  const memory = openMemory({ allowed });
  const marks = marksOf(settings);
  return {
    hardware,
    memory,
    marks,
    budgetBytes: bytesIn(memoryBudget, Math.min(...memory().map(({ limitBytes }) => limitBytes))),
    freeBytes: (onDemand) => (onDemand ? roomIn(memory(), marks) : freeIn(memory())),
  };
}
