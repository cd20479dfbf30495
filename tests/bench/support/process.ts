/** Processes of a benchmark: started, measured from outside, ended by pid. */
import type { ChildProcess } from 'node:child_process';
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const CLOCK_TICKS_PER_SECOND = 100;

/** User and system time of a process so far, in seconds; resolution 10 ms. Linux. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name in parentheses may hold spaces; utime and stime are the 12th and 13th fields behind it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_SECOND;
}

/** Of a process and all that it started and is still there. */
export function treeCpuSeconds(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return children.reduce((sum, child) => sum + treeCpuSeconds(child), cpuSeconds(pid));
}

export function residentBytes(pid: number): number {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]);
  return pages * 4096;
}

export class Worker implements AsyncDisposable {
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  send(message: object): void {
    this.#child.send(message);
  }

  /** The next message that has this type. Fails when the process ends first. */
  async next<T>(type: string): Promise<T> {
    for (;;) {
      const [message] = await Promise.race([once(this.#child, 'message'), this.#died(type)]);
      if ((message as { type?: string }).type === type) return message as T;
    }
  }

  async ask<T>(message: object, reply: string): Promise<T> {
    const answer = this.next<T>(reply);
    this.send(message);
    return answer;
  }

  async #died(waitingFor: string): Promise<never> {
    const [code, signal] = await once(this.#child, 'exit');
    throw new Error(`process ${this.#child.spawnargs.slice(1, 3).join(' ')} ended (${code ?? signal}) before ${waitingFor}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    const force = setTimeout(() => this.#child.kill('SIGKILL'), 5000);
    this.#child.kill('SIGTERM');
    await gone;
    clearTimeout(force);
  }
}

/** Forks a script of this folder's parent, with messages; its stderr is shown. */
export function forkScript(script: URL, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Worker {
  const child = fork(fileURLToPath(script), args, {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    serialization: 'advanced',
    env: { ...process.env, ...env },
  });
  return new Worker(child);
}

export function spawnProgram(program: string, args: readonly string[]): Worker {
  return new Worker(spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] }));
}
