/**
 * Where tests have a Redis from, the first that is there: REDIS_URL, redis-server on the PATH, a container, Debian's
 * package where this process may install it.
 */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export type RedisSource =
  | { readonly kind: 'url'; readonly url: string; readonly line: string }
  | { readonly kind: 'process'; readonly binary: string; readonly line: string }
  | { readonly kind: 'container'; readonly image: string; readonly line: string }
  | { readonly kind: 'none'; readonly line: string };

const IMAGE = 'redis:7.4-alpine';
const INSTALL_LIMIT_MS = 180_000;

/**
 * Debian's package without its service: the policy keeps the service from being started, unless there is a policy
 * already, and the lock has other test processes wait and then find the program there.
 */
const INSTALL = `
command -v redis-server >/dev/null && exit 0
if [ ! -e /usr/sbin/policy-rc.d ]; then
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
  chmod +x /usr/sbin/policy-rc.d
fi
apt-get install -y --no-install-recommends redis-server || { apt-get update && apt-get install -y --no-install-recommends redis-server; }
update-rc.d redis-server disable
command -v redis-server
`;

const found = new Map<boolean, Promise<RedisSource>>();

/** Looked for once in each process. @param ofItsOwn only what a test may kill, freeze and start as it likes */
export function findRedis(ofItsOwn = false): Promise<RedisSource> {
  const before = found.get(ofItsOwn);
  if (before) return before;
  const search = look(ofItsOwn);
  found.set(ofItsOwn, search);
  return search;
}

async function look(ofItsOwn: boolean): Promise<RedisSource> {
  const url = process.env.REDIS_URL;
  if (url && !ofItsOwn) return { kind: 'url', url, line: 'redis: the server of REDIS_URL' };
  const onPath = await programOnPath('from the PATH');
  if (onPath) return onPath;
  if (!ofItsOwn && (await dockerAnswers())) return { kind: 'container', image: IMAGE, line: `redis: a container of ${IMAGE}` };
  if (process.getuid?.() === 0) {
    await run('flock', ['/tmp/infermesh-redis-install.lock', 'sh', '-c', INSTALL], {
      timeout: INSTALL_LIMIT_MS,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    }).catch(() => undefined);
    const installed = await programOnPath("of Debian's package, installed by the tests");
    if (installed) return installed;
  }
  const missing = [
    'no redis-server on the PATH',
    ofItsOwn ? 'this test needs one of its own' : 'no REDIS_URL, no Docker',
    "Debian's package could not be installed",
  ];
  return { kind: 'none', line: `redis: none (${missing.join('; ')})` };
}

async function programOnPath(origin: string): Promise<RedisSource | undefined> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const binary = join(folder, 'redis-server');
    try {
      await access(binary, constants.X_OK);
      const { stdout } = await run(binary, ['--version'], { timeout: 10_000 });
      const version = /v=(\S+)/.exec(stdout)?.[1] ?? 'of unknown version';
      return { kind: 'process', binary, line: `redis: redis-server ${version} ${origin}` };
    } catch {}
  }
  return undefined;
}

async function dockerAnswers(): Promise<boolean> {
  try {
    const { getContainerRuntimeClient } = await import('testcontainers');
    await getContainerRuntimeClient();
    return true;
  } catch {
    return false;
  }
}
