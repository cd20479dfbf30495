/**
 * A router or node in a process of its own. It leads its own process group, so that a Ctrl-C at the terminal reaches
 * only the process that started it, and it ends in order when the IPC channel closes, whatever became of its parent.
 */
import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ChildMessage } from './messages.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
/** Settings of the one process that was called; its children are told theirs by flags. */
const NOT_INHERITED = [
  'INFERMESH_CONFIG',
  'INFERMESH_TLS_CERT',
  'INFERMESH_TLS_KEY',
  'INFERMESH_TLS_CA',
  'INFERMESH_MODEL',
  'INFERMESH_ON_DEMAND',
];

export interface ChildListener {
  onMessage(message: ChildMessage): void;
  /** A line of its log. */
  onLine(line: string): void;
  /** It is gone. `how` says by which signal or code. */
  onExit(how: string): void;
}

export class Child {
  readonly #process: ChildProcess;
  readonly #gone: Promise<void>;

  constructor(args: readonly string[], { onMessage, onLine, onExit }: ChildListener) {
    const env = { ...process.env };
    for (const name of NOT_INHERITED) delete env[name];
    this.#process = fork(MAIN, [...args, '--json'], {
      env,
      detached: true,
      execArgv: [],
      // What it prints for people comes as messages instead.
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#process.on('message', onMessage);
    if (this.#process.stderr) createInterface({ input: this.#process.stderr }).on('line', onLine);
    this.#gone = ended(this.#process).then(onExit);
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Lets it end in order; after `graceMs` by force. Resolves when it is gone. */
  async end(graceMs: number): Promise<void> {
    if (this.#process.connected) this.#process.disconnect();
    const patience = new AbortController();
    const late = pause(graceMs, 'late', { signal: patience.signal }).catch(() => undefined);
    if ((await Promise.race([this.#gone, late])) === 'late') this.kill();
    patience.abort();
    await this.#gone;
  }

  /** With everything it started. */
  kill(): void {
    const { pid, exitCode, signalCode } = this.#process;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // Gone between the question and the signal.
    }
  }
}

/** Resolves with the signal or code, after the last message. ('close' never comes where this side disconnected.) */
async function ended(child: ChildProcess): Promise<string> {
  const disconnected = new Promise<void>((resolve) => child.once('disconnect', resolve));
  const how = await new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? `code ${code}`));
    // One that could not be started has no exit.
    child.once('error', ({ message }) => child.pid === undefined && resolve(message));
  });
  if (child.connected) await disconnected;
  return how;
}
