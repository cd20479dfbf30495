/**
 * What a control group has used: in a container the machine's own counters tell about everybody's work. Versions 1
 * and 2 of cgroups are read; elsewhere there is nothing to read. (Limits need no code: Node asks for them itself.)
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface CgroupUse {
  /** CPU time since the group began, all cores together. */
  readonly cpuMs: number;
  /** Without file pages that the kernel would give back first. */
  readonly memoryBytes: number;
}

interface Files {
  readonly cpu: string;
  readonly memory: string;
  readonly stat: string;
  readonly version: 1 | 2;
}

/** @returns a reader of the group that this process is in, or undefined where there are no control groups */
export function openCgroup(root = '/'): (() => CgroupUse | undefined) | undefined {
  const files = locate(root);
  return files && (() => read(files));
}

function locate(root: string): Files | undefined {
  const groups = textOf(join(root, 'proc/self/cgroup'))
    .split('\n')
    .map((line) => line.split(':'));
  const mounts = join(root, 'sys/fs/cgroup');
  // Inside a container the path may be the host's, and the group is then mounted at the top.
  const folderOf = (mount: string, path: string) => (existsSync(join(mount, path)) ? join(mount, path) : mount);
  if (existsSync(join(mounts, 'cgroup.controllers'))) {
    const folder = folderOf(mounts, groups.find(([id]) => id === '0')?.[2] ?? '/');
    const file = (name: string) => join(folder, name);
    return { version: 2, cpu: file('cpu.stat'), memory: file('memory.current'), stat: file('memory.stat') };
  }
  const folder = (controller: string) => {
    const path = groups.find(([, names]) => names?.split(',').includes(controller))?.[2];
    return path === undefined ? undefined : folderOf(join(mounts, controller), path);
  };
  const [cpu, memory] = [folder('cpuacct'), folder('memory')];
  if (!cpu || !memory) return undefined;
  return {
    version: 1,
    cpu: join(cpu, 'cpuacct.usage'),
    memory: join(memory, 'memory.usage_in_bytes'),
    stat: join(memory, 'memory.stat'),
  };
}

function read({ cpu, memory, stat, version }: Files): CgroupUse | undefined {
  const used = textOf(cpu);
  const cpuMs = version === 2 ? counterOf(used, 'usage_usec') / 1e3 : Number(used) / 1e6;
  const memoryBytes = Number(textOf(memory)) - counterOf(textOf(stat), version === 2 ? 'inactive_file' : 'total_inactive_file');
  return used && Number.isFinite(cpuMs) && memoryBytes > 0 ? { cpuMs, memoryBytes } : undefined;
}

function counterOf(text: string, key: string): number {
  return Number(new RegExp(`^${key} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}
