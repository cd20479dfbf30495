/** What this machine has, for the registration, and how busy it is, for the reports. */
import { readFile } from 'node:fs/promises';
import { arch, availableParallelism, cpus, machine, platform } from 'node:os';
import type { Hardware } from '../proto/gen/infermesh/v1/types.ts';
import { cpuFeatures, cpuModel } from './hardware/cpu.ts';
import { findGpus } from './hardware/gpu.ts';
import { usableMemory } from './hardware/memory.ts';

export type { GpuWatch } from './hardware/gpu.ts';
export { watchGpus } from './hardware/gpu.ts';
export type { Usage, UsageSampler } from './hardware/usage.ts';
export { createUsageSampler } from './hardware/usage.ts';

/** Never throws: what can't be found out is empty or 0. Takes milliseconds, at most 3 s where nvidia-smi hangs. */
export async function detectHardware(): Promise<Hardware> {
  const [cpuinfo, gpus] = await Promise.all([readFile('/proc/cpuinfo', 'utf8').catch(() => ''), findGpus()]);
  return {
    cpuModel: cpuModel(cpus()[0]?.model, cpuinfo, machine()),
    // Counts the process's CPU set and its control group's quota.
    cores: availableParallelism(),
    cpuFeatures: cpuFeatures(cpuinfo),
    memoryBytes: usableMemory(),
    gpus,
    os: platform(),
    arch: arch(),
  };
}
