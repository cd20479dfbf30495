/** How busy the machine, or the container that is this node's machine, has been since the last look. */
import { availableParallelism, cpus, totalmem } from 'node:os';
import { openCgroup } from '../../telemetry/host/cgroup.ts';
import { usableMemory } from './memory.ts';

export interface Usage {
  readonly memoryUsedBytes: number;
  /** 0 to 1, of all usable cores together, since the sample before; 0 in the first. */
  readonly cpuUse: number;
}

export interface UsageSampler {
  /** As it is now; of calls that come closer together than 200 ms the later ones get what the first one got. */
  sample(): Usage;
}

/** What a sampler reads; the clock and the counters can be given. */
export interface UsageSource {
  readonly cores: number;
  /** Milliseconds of a monotonic clock. */
  now(): number;
  /** CPU time used so far in milliseconds, all cores together; memory used in bytes. */
  read(): { readonly cpuMs: number; readonly memoryBytes: number };
}

/** Over less than this the counters, which move in steps of 10 ms, say little. */
const MIN_INTERVAL_MS = 200;

export function createUsageSampler(source: UsageSource = systemUsage()): UsageSampler {
  let before: { readonly at: number; readonly cpuMs: number; readonly usage: Usage } | undefined;
  return {
    sample() {
      const at = source.now();
      if (before && at - before.at < MIN_INTERVAL_MS) return before.usage;
      const { cpuMs, memoryBytes } = source.read();
      const cpuUse = before ? (cpuMs - before.cpuMs) / ((at - before.at) * source.cores) : 0;
      const usage = { memoryUsedBytes: Math.max(0, Math.round(memoryBytes)), cpuUse: Math.min(1, Math.max(0, cpuUse)) };
      before = { at, cpuMs, usage };
      return usage;
    },
  };
}

/** A limited group is its own machine; without limits the machine's counters tell more, also about neighbours. */
function systemUsage(): UsageSource {
  const limited = usableMemory() < totalmem() || availableParallelism() < cpus().length;
  const group = limited ? openCgroup() : undefined;
  const now = () => performance.now();
  const ofGroup = group?.use();
  if (!group || !ofGroup) return { cores: cpus().length, now, read: ofMachine };
  return { cores: availableParallelism(), now, read: () => group.use() ?? ofGroup };
}

function ofMachine() {
  const cpuMs = cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
  return { cpuMs, memoryBytes: totalmem() - process.availableMemory() };
}
