/** One redis-server process of a test: it keeps nothing on disk, and what a test breaks is its own. */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Redis } from 'ioredis';
import { freePort } from './ports.ts';

const STARTS = 5;
/** Has the kernel end a server with the process that started it, however that ends; where it is missing, `exit` must do. */
const SETPRIV = '/usr/bin/setpriv';
const LEASH = existsSync(SETPRIV) ? [SETPRIV, '--pdeathsig', 'KILL'] : [];

export interface RedisServer extends AsyncDisposable {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** Undefined: not a process of this test, or not running. */
  readonly pid: number | undefined;
  /** A command by a connection of its own, as an operator would; replies are strings. */
  call(command: string, ...args: readonly (string | number | Buffer)[]): Promise<unknown>;
  /** At once, without a goodbye; resolves when it is gone. */
  kill(): Promise<void>;
  /** It stands still, with its connections open. */
  freeze(): void;
  thaw(): void;
  /** Again on the same port, with what it had kept on disk; resolves when it answers. */
  restart(): Promise<void>;
}

export interface ServerOptions {
  /** Of redis-server: ['--maxmemory', '2mb']. */
  readonly args?: readonly string[];
  /** Absent: one that is free. */
  readonly port?: number;
  /** Of a cluster, whose servers talk to each other on a port of their own. */
  readonly clustered?: boolean;
  /** A sentinel that watches this master, alone, and gives it up after half a second. */
  readonly sentinelOf?: { readonly name: string; readonly host: string; readonly port: number };
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export async function startServer(binary: string, options: ServerOptions = {}): Promise<RedisServer> {
  for (let attempt = 1; ; attempt++) {
    const busPort = options.clustered ? await freePort() : undefined;
    const server = new ServerProcess(binary, options.port ?? (await freePort()), busPort, options);
    try {
      await server.start();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      // Another process took the port that was free a moment ago.
      if (options.port !== undefined || attempt === STARTS) throw error;
    }
  }
}

/** One command on a connection of its own. */
export async function callOnce(url: string, command: string, args: readonly (string | number | Buffer)[]): Promise<unknown> {
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    return await redis.call(command, ...args);
  } finally {
    redis.disconnect();
  }
}

class ServerProcess implements RedisServer {
  readonly host = '127.0.0.1';
  readonly port: number;
  readonly #binary: string;
  readonly #busPort: number | undefined;
  readonly #options: ServerOptions;
  #folder: string | undefined;
  #child: ChildProcess | undefined;

  constructor(binary: string, port: number, busPort: number | undefined, options: ServerOptions) {
    this.#binary = binary;
    this.port = port;
    this.#busPort = busPort;
    this.#options = options;
  }

  get url(): string {
    return `redis://${this.host}:${this.port}`;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async start(): Promise<void> {
    this.#folder ??= await mkdtemp(join(tmpdir(), 'infermesh-redis-'));
    const [program = '', ...args] = [...LEASH, this.#binary, ...(await this.#arguments(this.#folder))];
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#child = child;
    running.add(child);
    child.once('exit', () => running.delete(child));
    const lines = createInterface({ input: child.stdout });
    const last: string[] = [];
    const started = Promise.withResolvers<void>();
    lines.on('line', (line) => {
      if (/Ready to accept|Sentinel ID is/.test(line)) started.resolve();
      last.push(line);
    });
    child.once('exit', () => started.reject(new Error(`redis-server ended: ${last.slice(-3).join(' | ')}`)));
    child.once('error', started.reject);
    await started.promise;
  }

  async #arguments(folder: string): Promise<string[]> {
    const { sentinelOf, args = [] } = this.#options;
    const common = ['--port', String(this.port), '--bind', this.host, '--dir', folder, '--loglevel', 'notice', '--logfile', ''];
    const cluster = this.#busPort === undefined ? [] : ['--cluster-enabled', 'yes', '--cluster-port', String(this.#busPort)];
    if (!sentinelOf) return [...common, '--save', '', '--appendonly', 'no', ...cluster, ...args];
    const { name, host, port } = sentinelOf;
    const lines = [`monitor ${name} ${host} ${port} 1`, `down-after-milliseconds ${name} 500`, `failover-timeout ${name} 3000`];
    const file = join(folder, 'sentinel.conf');
    await writeFile(file, lines.map((line) => `sentinel ${line}\n`).join(''));
    return [file, '--sentinel', ...common];
  }

  call(command: string, ...args: readonly (string | number | Buffer)[]): Promise<unknown> {
    return callOnce(this.url, command, args);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    if (this.#folder) await rm(this.#folder, { recursive: true, force: true });
  }
}
