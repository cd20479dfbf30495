/**
 * What a control group has used, and the limits that bind it: in a container the machine's own counters tell about
 * everybody's work. Versions 1 and 2 of cgroups are read; elsewhere there is nothing to read.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { counterOf, textOf } from './files.ts';

export interface CgroupUse {
  /** CPU time since the group began, all cores together. */
  readonly cpuMs: number;
  /** Without file pages that the kernel would give back first. */
  readonly memoryBytes: number;
}

export interface LimitedMemory {
  readonly usedBytes: number;
  readonly limitBytes: number;
  /** Of the last 10 s, 0 to 1, those in which all of it stood still for want of memory; 0 where the kernel does not tell. */
  readonly stalled: number;
}

export interface Cgroup {
  /** Undefined when the group can't be read. */
  use(): CgroupUse | undefined;
  /** Of the group and of those that it lies in, the ones that have a limit. */
  limits(): LimitedMemory[];
}

/** Names of files and fields, which the two versions do not share. */
interface Layout {
  readonly memory: string;
  readonly limits: readonly string[];
  /** Before the fields of memory.stat, so that they count the groups below as well. */
  readonly total: string;
  readonly pressure: string | undefined;
}

const V1: Layout = { memory: 'memory.usage_in_bytes', limits: ['memory.limit_in_bytes'], total: 'total_', pressure: undefined };
/** Over memory.high nothing is killed, and everything is held up: work can go no further than to the lower of the two. */
const V2: Layout = { memory: 'memory.current', limits: ['memory.high', 'memory.max'], total: '', pressure: 'memory.pressure' };
/** Version 1 writes "none" as the largest number of pages. */
const NO_LIMIT = 2 ** 60;

interface Place {
  readonly layout: Layout;
  readonly cpuMs: () => number;
  readonly folder: string;
  /** Where the groups are mounted: none lies above. */
  readonly mount: string;
}

/** @returns the group that this process is in, or undefined where there are no control groups */
export function openCgroup(root = '/'): Cgroup | undefined {
  const place = locate(root);
  if (!place) return undefined;
  const { layout, cpuMs, folder, mount } = place;
  const folders = upTo(mount, folder);
  return {
    use() {
      const used = { cpuMs: cpuMs(), memoryBytes: memoryOf(folder, layout) };
      return used.cpuMs > 0 && used.memoryBytes > 0 ? used : undefined;
    },
    limits: () => folders.flatMap((one) => limitedMemory(one, layout)),
  };
}

function locate(root: string): Place | undefined {
  const groups = textOf(join(root, 'proc/self/cgroup'))
    .split('\n')
    .map((line) => line.split(':'));
  const mounts = join(root, 'sys/fs/cgroup');
  // Inside a container the path may be the host's, and the group is then mounted at the top.
  const folderOf = (mount: string, path: string) => (existsSync(join(mount, path)) ? join(mount, path) : mount);
  if (existsSync(join(mounts, 'cgroup.controllers'))) {
    const folder = folderOf(mounts, groups.find(([id]) => id === '0')?.[2] ?? '/');
    return { layout: V2, folder, mount: mounts, cpuMs: () => counterOf(textOf(join(folder, 'cpu.stat')), 'usage_usec') / 1e3 };
  }
  const folder = (controller: string) => {
    const path = groups.find(([, names]) => names?.split(',').includes(controller))?.[2];
    return path === undefined ? undefined : folderOf(join(mounts, controller), path);
  };
  const [cpu, memory] = [folder('cpuacct'), folder('memory')];
  if (!cpu || !memory) return undefined;
  const cpuMs = () => Number(textOf(join(cpu, 'cpuacct.usage'))) / 1e6;
  return { layout: V1, folder: memory, mount: join(mounts, 'memory'), cpuMs };
}

function upTo(mount: string, folder: string): string[] {
  const above = dirname(folder);
  return folder.length > mount.length && above !== folder ? [folder, ...upTo(mount, above)] : [folder];
}

function limitedMemory(folder: string, layout: Layout): LimitedMemory[] {
  const limits = layout.limits.map((file) => Number.parseInt(textOf(join(folder, file)), 10));
  const limitBytes = Math.min(...limits.filter((limit) => limit > 0 && limit < NO_LIMIT));
  if (!Number.isFinite(limitBytes)) return [];
  const stalled = layout.pressure === undefined ? 0 : stalledShare(textOf(join(folder, layout.pressure)));
  return [{ usedBytes: memoryOf(folder, layout), limitBytes, stalled }];
}

/**
 * File pages that nobody has mapped can be had back at once. Mapped ones are weights, as a rule, and programs: without
 * them nothing runs.
 */
function memoryOf(folder: string, { memory, total }: Layout): number {
  const stat = textOf(join(folder, 'memory.stat'));
  const field = (name: string) => counterOf(stat, `${total}${name}`);
  const mapped = field(total === '' ? 'file_mapped' : 'mapped_file');
  const files = field('active_file') + field('inactive_file');
  return Math.max(0, Number(textOf(join(folder, memory))) - Math.max(0, files - mapped));
}

/** @param text of a file of the kernel's pressure stall information */
export function stalledShare(text: string): number {
  return Number(/^full avg10=([\d.]+)/m.exec(text)?.[1] ?? 0) / 100;
}
