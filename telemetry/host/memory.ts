/** How full memory is: that of the machine, of the control groups that a process is in, and what it was allowed itself. */
import { totalmem } from 'node:os';
import { join } from 'node:path';
import type { LimitedMemory } from './cgroup.ts';
import { openCgroup, stalledShare } from './cgroup.ts';
import { counterOf, textOf } from './files.ts';

export type { LimitedMemory } from './cgroup.ts';

export interface MemoryOptions {
  /** What this process and its children may take, in bytes; absent: only the machine and its groups bound them. */
  readonly allowed?: number | undefined;
  readonly root?: string;
}

/** @returns a reader of all of them as they are now, one at least; it takes some small files and no process */
export function openMemory({ allowed, root = '/' }: MemoryOptions = {}): () => LimitedMemory[] {
  const group = openCgroup(root);
  return () => {
    const own = allowed === undefined ? [] : [{ usedBytes: ownBytes(root), limitBytes: allowed, stalled: 0 }];
    return [ofMachine(root), ...(group?.limits() ?? []), ...own];
  };
}

/** Of the limit, 0 to 1, or more. */
export const useOf = ({ usedBytes, limitBytes }: LimitedMemory) => usedBytes / limitBytes;

/** @param all one at least */
export function fullest(all: readonly LimitedMemory[]): LimitedMemory {
  return all.reduce((most, one) => (useOf(one) > useOf(most) ? one : most));
}

/** What the kernel calls available has mapped files in it, without which nothing runs. */
function ofMachine(root: string): LimitedMemory {
  const text = textOf(join(root, 'proc/meminfo'));
  const bytes = (key: string) => counterOf(text, key) * 1024;
  const limitBytes = bytes('MemTotal');
  if (limitBytes === 0) return { usedBytes: totalmem() - process.availableMemory(), limitBytes: totalmem(), stalled: 0 };
  const usedBytes = limitBytes - bytes('MemAvailable') + Math.max(0, bytes('Mapped') - bytes('Shmem'));
  return { usedBytes, limitBytes, stalled: stalledShare(textOf(join(root, 'proc/pressure/memory'))) };
}

/** Resident memory of this process and of its children, as far as the system tells which they are. */
function ownBytes(root: string): number {
  const { pid } = process;
  const children = textOf(join(root, `proc/${pid}/task/${pid}/children`))
    .split(' ')
    .filter(Boolean);
  return process.memoryUsage.rss() + children.reduce((sum, child) => sum + residentBytes(child, root), 0);
}

/** Of a process; 0 where the system does not tell. */
export function residentBytes(pid: number | string, root = '/'): number {
  return counterOf(textOf(join(root, `proc/${pid}/status`)), 'VmRSS') * 1024;
}
