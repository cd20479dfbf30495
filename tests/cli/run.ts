/** The `infermesh` command as users run it: a process of its own, with its output and exit code. */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const LAUNCHER = fileURLToPath(new URL('../../cli/infermesh.js', import.meta.url));

export interface Call {
  readonly stdin?: string | Buffer;
  readonly env?: NodeJS.ProcessEnv;
  /** Which Node runs the launcher; default: this one. */
  readonly node?: string;
}

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class Running {
  readonly process: ChildProcess;
  stdout = '';
  stderr = '';
  readonly #ended: Promise<Outcome>;

  constructor(args: readonly string[], { stdin, env, node = process.execPath }: Call = {}) {
    this.process = spawn(node, [LAUNCHER, ...args], { env: { ...cleanEnv(), ...env } });
    this.process.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.process.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.process.stdin?.on('error', () => {}); // It may have ended without reading all.
    this.process.stdin?.end(stdin ?? '');
    this.#ended = once(this.process, 'close').then(([code, signal]) => ({
      code,
      signal,
      stdout: this.stdout,
      stderr: this.stderr,
    }));
  }

  get ended(): Promise<Outcome> {
    return this.#ended;
  }

  /** Resolves with the first event of that name on stdout. */
  async event(name: string): Promise<Record<string, unknown>> {
    for (;;) {
      const found = events(this.stdout).find(({ event }) => event === name);
      if (found) return found;
      const ended = await Promise.race([once(this.process.stdout!, 'data').then(() => undefined), this.#ended]);
      if (ended)
        throw new Error(`ended (${ended.code ?? ended.signal}) without the event ${name}:\n${ended.stdout}${ended.stderr}`);
    }
  }
}

export function infermesh(args: readonly string[], call: Call = {}): Promise<Outcome> {
  return new Running(args, call).ended;
}

/** Complete lines of JSON. */
export function events(stdout: string): Record<string, unknown>[] {
  return stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Of all processes that descend from this one now. */
export function descendants(pid: number): number[] {
  const children = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => parentOf(name) === pid)
    .map(Number);
  return children.flatMap((child) => [child, ...descendants(child)]);
}

/** A zombie that nobody reaped counts as gone. */
export function isAlive(pid: number): boolean {
  return statOf(pid)?.state !== undefined && statOf(pid)?.state !== 'Z';
}

function parentOf(pid: string): number | undefined {
  return statOf(pid)?.parent;
}

function statOf(pid: string | number) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

/** Settings of whoever runs the tests are not the tests'. */
function cleanEnv(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(?:INFERMESH_|OTEL_|NODE_OPTIONS|VITEST)/.test(name));
  return { ...Object.fromEntries(kept), XDG_CONFIG_HOME: CONFIG, NO_COLOR: '1' };
}

/** Where routers put their tokens and commands look for them. */
const CONFIG = mkdtempSync(join(tmpdir(), 'infermesh-config-'));
process.once('exit', () => rmSync(CONFIG, { recursive: true, force: true }));
