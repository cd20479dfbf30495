/** nginx as a gRPC proxy with one worker: Debian's package, its own folder, ended by pid. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '../../support/ports.ts';

export interface Nginx extends AsyncDisposable {
  readonly address: string;
  /** Of the one worker, which does all the work. */
  readonly pid: number;
  readonly version: string;
}

/** Installs Debian's package where there is none and this is root. @returns a reason when it can't be had */
export function findNginx(): { readonly path: string } | { readonly missing: string } {
  const found = which('nginx');
  if (found) return { path: found };
  if (process.getuid?.() !== 0 || !which('apt-get'))
    return { missing: 'nginx is not on the PATH, and installing it needs root and apt-get' };
  try {
    const quiet = { stdio: 'ignore', timeout: 180_000 } as const;
    execFileSync('apt-get', ['update', '-q'], quiet);
    // Without this Debian starts a service of its own on port 80.
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
    execFileSync('apt-get', ['install', '-y', '-q', '--no-install-recommends', 'nginx-light'], { ...quiet, env });
  } catch {
    return { missing: 'apt-get could not install nginx-light' };
  }
  const installed = which('nginx');
  return installed ? { path: installed } : { missing: 'nginx-light has no nginx' };
}

function which(program: string): string | undefined {
  try {
    return execFileSync('sh', ['-c', `command -v ${program} || command -v /usr/sbin/${program}`], { encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}

export async function startNginx(path: string, upstream: string): Promise<Nginx> {
  const folder = mkdtempSync(join(tmpdir(), 'infermesh-nginx-'));
  const port = await freePort();
  writeFileSync(join(folder, 'nginx.conf'), configuration(folder, port, upstream));
  const master = spawn(path, ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error.log')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exited = once(master, 'exit');
  const pid = await workerOf(master.pid as number);
  const version = execFileSync('sh', ['-c', `${path} -v 2>&1`], { encoding: 'utf8' })
    .trim()
    .replace(/^.*\//, '');
  return {
    address: `127.0.0.1:${port}`,
    pid,
    version,
    async [Symbol.asyncDispose]() {
      master.kill('SIGTERM');
      await exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** As fast as nginx can be told to be: no logs, upstream connections kept, nothing buffered longer than needed. */
function configuration(folder: string, port: number, upstream: string): string {
  return `
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  http2_max_concurrent_streams 4096;
  keepalive_requests 1000000;
  upstream engine { server ${upstream}; keepalive 2048; keepalive_requests 1000000; }
  server {
    listen 127.0.0.1:${port} http2;
    grpc_read_timeout 600s; grpc_send_timeout 600s;
    location / { grpc_pass grpc://engine; }
  }
}
`;
}

async function workerOf(master: number): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    await pause(50);
    const children = readFileSync(`/proc/${master}/task/${master}/children`, 'utf8').trim();
    if (children) return Number(children.split(' ')[0]);
  }
  throw new Error('nginx started no worker');
}
