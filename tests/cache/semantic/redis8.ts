/**
 * A Redis with vector sets for tests: redis-server 8 or newer on the PATH, else the packages of Debian 13, unpacked beside
 * the project's modules and run by their own loader where this system's libraries are older.
 */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { TestContext } from 'vitest';
import type { RedisServer } from '../../support/redis-server.ts';
import { startServer } from '../../support/redis-server.ts';
import { findRedis } from '../../support/redis-source.ts';

const run = promisify(execFile);

const FOLDER = fileURLToPath(new URL('../../../node_modules/.cache/infermesh-redis-8', import.meta.url));
const PROGRAM = `${FOLDER}/redis-server-8`;
const LIMIT_MS = 180_000;

/** apt with folders of its own: what it fetches is only unpacked here, and nothing of the system changes. */
const UNPACK = `
set -e
[ -x "$FOLDER/redis-server-8" ] && exit 0
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | grep -v security | head -1)
rm -rf "$FOLDER" && mkdir -p "$FOLDER/lists/partial" "$FOLDER/archives/partial" "$FOLDER/root" && cd "$FOLDER" && : >status
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >sources.list
apt() { apt-get -qq -o Dir::Etc::sourcelist="$FOLDER/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$FOLDER/lists" \
  -o Dir::State::status="$FOLDER/status" -o Dir::Cache="$FOLDER" -o APT::Sandbox::User=root "$@"; }
apt update
apt download redis-tools libatomic1 libc6 libcap2 libgcc-s1 libjemalloc2 liblzf1 libssl3t64 libstdc++6 libsystemd0 libzstd1 zlib1g
for package in *.deb; do dpkg-deb -x "$package" root; done
ln -sf redis-check-rdb root/usr/bin/redis-server
libraries=$(dirname "$(ls root/usr/lib/*/libc.so.6)")
loader=$(ls "$libraries"/ld-linux-*.so.* | head -1)
rm -rf lists archives *.deb
cat >redis-server-8.new <<EOF
#!/bin/sh
exec "$FOLDER/$loader" --argv0 redis-server --library-path "$FOLDER/$libraries" "$FOLDER/root/usr/bin/redis-server" "\\$@"
EOF
chmod +x redis-server-8.new
./redis-server-8.new --version
mv redis-server-8.new redis-server-8
`;

let found: Promise<{ readonly program: string | undefined; readonly line: string }> | undefined;

/** Skips the test, with the reason, where none can be had. */
export async function redis8OrSkip(context: TestContext): Promise<RedisServer> {
  return startServer(await program8OrSkip(context));
}

/** The program, for tests that start several servers. */
export async function program8OrSkip(context: TestContext): Promise<string> {
  found ??= find();
  const source = await found;
  context.task.meta.redis = source.line;
  return source.program ?? context.skip(source.line);
}

async function find() {
  const usual = await findRedis(true);
  if (usual.kind === 'process' && Number(/redis-server (\d+)/.exec(usual.line)?.[1] ?? 0) >= 8)
    return { program: usual.binary, line: usual.line };
  if (process.getuid?.() === 0) {
    await run('flock', ['/tmp/infermesh-redis-8.lock', 'sh', '-c', UNPACK], {
      timeout: LIMIT_MS,
      env: { ...process.env, FOLDER },
    }).catch(() => undefined);
  }
  try {
    await access(PROGRAM, constants.X_OK);
    const { stdout } = await run(PROGRAM, ['--version'], { timeout: 10_000 });
    return { program: PROGRAM, line: `redis: redis-server ${/v=(\S+)/.exec(stdout)?.[1]} of Debian 13, for vector sets` };
  } catch {
    return {
      program: undefined,
      line: 'redis: no vector sets (no redis-server 8 on the PATH, and the packages of Debian 13 could not be had)',
    };
  }
}
