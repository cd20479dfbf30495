/**
 * A control group with a limit of memory, below the one that the test is in, and something that fills it. What starts in
 * it with its environment stays in it, with all its children; disposing it wants them gone.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MOUNT = '/sys/fs/cgroup';
const HOG = fileURLToPath(new URL('hog.ts', import.meta.url));

export interface MemoryGroup extends AsyncDisposable {
  /** For processes that belong to the group from their first line on. */
  readonly env: NodeJS.ProcessEnv;
  /** How often the kernel has killed somebody in it for want of memory. */
  oomKills(): number;
  /** Starts a process in it that takes memory. */
  hog(): Hog;
}

/** Disposing it gives all back. */
export interface Hog extends AsyncDisposable {
  /** Keeps the group's memory filled to that share of its limit. */
  fillTo(share: number): void;
}

interface Files {
  readonly folder: string;
  readonly limit: string;
  readonly events: string;
}

/** @returns why there can be no group here; empty: there can be one */
export function whyNoMemoryGroup(): string {
  const files = locate();
  if (typeof files === 'string') return files;
  try {
    make(files, 2 ** 30);
    return '';
  } catch (error) {
    return `no control group can be made here (${(error as NodeJS.ErrnoException).code})`;
  } finally {
    if (existsSync(files.folder)) rmdirSync(files.folder);
  }
}

function make({ folder, limit }: Files, limitBytes: number): void {
  mkdirSync(folder);
  writeFileSync(join(folder, limit), String(limitBytes));
}

export function openMemoryGroup(limitBytes: number): MemoryGroup {
  const files = locate();
  if (typeof files === 'string') throw new Error(files);
  const { folder, events } = files;
  make(files, limitBytes);
  const enter = `import{writeFileSync}from'node:fs';writeFileSync('${join(folder, 'cgroup.procs')}',String(process.pid))`;
  const env = { NODE_OPTIONS: `--import data:text/javascript,${enter}` };
  return {
    env,
    oomKills: () => Number(/^oom_kill (\d+)$/m.exec(readFileSync(join(folder, events), 'utf8'))?.[1]),
    hog: () => startHog(env),
    async [Symbol.asyncDispose]() {
      await gone(folder);
    },
  };
}

function locate(): Files | string {
  if (process.platform !== 'linux') return 'control groups are a matter of Linux';
  const lines = readFileSync('/proc/self/cgroup', 'utf8').split('\n');
  const name = `infermesh-test-${process.pid}`;
  const path = lines.find((line) => line.split(':')[1]?.split(',').includes('memory'))?.split(':')[2];
  if (path !== undefined) {
    const folder = join(MOUNT, 'memory', path, name);
    return { folder, limit: 'memory.limit_in_bytes', events: 'memory.oom_control' };
  }
  const unified = lines.find((line) => line.startsWith('0::'))?.slice(3);
  const above = join(MOUNT, unified ?? '/');
  const children = join(above, 'cgroup.subtree_control');
  if (!existsSync(children)) return 'there are no control groups here';
  const hasMemory = readFileSync(children, 'utf8').split(/\s/).includes('memory');
  // With processes in it a group of version 2 may have none with limits below it, unless it is the topmost.
  if (!hasMemory) return 'the control group of this process hands on no limits of memory';
  return { folder: join(above, name), limit: 'memory.max', events: 'memory.events' };
}

function startHog(env: NodeJS.ProcessEnv): Hog {
  const child = fork(HOG, { env: { ...process.env, ...env } });
  return {
    fillTo: (share) => child.send(share),
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    },
  };
}

/** The kernel lets go of a group some time after its last process has ended. */
async function gone(folder: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return rmdirSync(folder);
    } catch (error) {
      if (attempt === 100) throw error;
      await new Promise((later) => setTimeout(later, 50));
    }
  }
}
