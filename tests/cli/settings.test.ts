import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectionSchema } from '../../cli/connection.ts';
import { planNodes, upSchema } from '../../cli/up/settings.ts';
import { resolveSettings } from '../../proto/contract/settings.ts';
import { infermesh, Running } from './run.ts';

let folder: string;
let file: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'infermesh-test-'));
  file = config('good.yaml', 'router:\n  listen: 127.0.0.3:0\n  logLevel: silent\nclient:\n  router: 127.0.0.3:1\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function config(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** Starts a router and tells on which host it listens. */
async function hostOf(args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  const router = new Running(['router', '--json', '--token-file', join(folder, 'token'), ...args], { env });
  const { address } = await router.event('listening');
  router.process.kill('SIGTERM');
  expect((await router.ended).code).toBe(0);
  return String(address).split(':')[0] as string;
}

test('a flag goes before the environment, that before the file, and that before the default', async () => {
  const env = { INFERMESH_LISTEN: '127.0.0.2:0' };
  expect(await hostOf(['--listen', '127.0.0.4:0', '--config', file], env)).toBe('127.0.0.4');
  expect(await hostOf(['--config', file], env)).toBe('127.0.0.2');
  expect(await hostOf(['--config', file], {})).toBe('127.0.0.3');
  expect(await hostOf([], { INFERMESH_CONFIG: file })).toBe('127.0.0.3');
  expect(resolveSettings(connectionSchema, {}).router).toEqual(['127.0.0.1:50051']);
});

test('everything wrong with the settings is told together, each by the name it was given under', async () => {
  const bad = config('bad.yaml', 'node:\n  threads: -3\n  colour: blue\n');
  const args = ['node', '--slots', '0', '--join', 'nowhere', '--config', bad];
  const { code, stderr, stdout } = await infermesh(args, { env: { INFERMESH_LOG_LEVEL: 'loud' } });
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/colour is not a setting/);
  expect(stderr).toMatch(/--slots must be a whole number from 1 to 16384, received "0"/);
  expect(stderr).toMatch(/--join must be HOST:PORT/);
  expect(stderr).toMatch(/threads in the configuration file must be a whole number from 0 to 1024, received -3/);
  expect(stderr).toMatch(/INFERMESH_LOG_LEVEL must be trace.*received "loud"/);
  const json = await infermesh([...args, '--json'], { env: { INFERMESH_LOG_LEVEL: 'loud' } });
  expect(json.code).toBe(2);
  expect(JSON.parse(json.stdout).error).toMatchObject({ reason: 'INVALID_REQUEST', violations: { length: 5 } });
});

test.each([
  ['nothing.yaml', undefined, 'cannot read the configuration file'],
  ['broken.yaml', 'router: [', 'is not YAML'],
  ['list.yaml', '- router\n', 'must hold the sections'],
  ['other.yaml', 'routers:\n  listen: 127.0.0.1:0\n', 'routers is not a section; there are router, node, up, client, chat'],
  ['flat.yaml', 'router: 127.0.0.1:0\n', 'router must hold settings'],
])('a configuration file such as %s is refused with the reason', async (name, text, message) => {
  const path = text === undefined ? join(folder, name) : config(name, text);
  const { code, stderr } = await infermesh(['ps', '--config', path]);
  expect(code).toBe(2);
  expect(stderr).toContain(message);
});

test('up shares out the cores among its nodes, and leaves one for the router', () => {
  const plan = (text: object, cores: number) => planNodes(upSchema.parse({ tokenFile: 'join-token', ...text }), cores);
  expect(plan({}, 2)).toEqual([
    { name: 'stories', models: [{ model: 'stories-15m', slots: 4 }], threads: 1 },
    { name: 'tinyllama', models: [{ model: 'tinyllama-1.1b-chat', slots: 2 }], threads: 1 },
  ]);
  expect(plan({}, 9).map(({ threads }) => threads)).toEqual([4, 4]);
  expect(plan({ threads: 3, nodes: 'a=m:q4:16' }, 2)).toEqual([
    { name: 'a', models: [{ model: 'm:q4', slots: 16 }], threads: 3 },
  ]);
  expect(plan({ nodes: ['a=m'] }, 1)).toEqual([{ name: 'a', models: [{ model: 'm', slots: 4 }], threads: 1 }]);
  expect(plan({ nodes: 'a=m:2+n+o:q4:8' }, 1)).toMatchObject([
    {
      models: [
        { model: 'm', slots: 2 },
        { model: 'n', slots: 4 },
        { model: 'o:q4', slots: 8 },
      ],
    },
  ]);
});

test.each(['a', 'a=', '=m', 'A=m', 'a=m,a=n', 'a=m:x y', 'a=m+', 'a=m+m:2'])('up refuses nodes such as %s', async (nodes) => {
  const { code, stderr } = await infermesh(['up', '--nodes', nodes]);
  expect(code).toBe(2);
  expect(stderr).toMatch(/--nodes must be/);
});

test.each([
  [['--cache-memory-mb', '0'], '--cache-memory-mb must be a whole number from 1 to 65536, received "0"'],
  [['--redis', 'redis://10.0.0.5', '--cache-snapshot', 'x'], '--cache-snapshot is for a router without --redis'],
  [['--redis', 'http://user:hunter2@host'], '--redis must be redis://'],
  [['--cache-secret', '/dev/null/secret'], 'cannot make a cache secret in /dev/null/secret: E'],
  [['--cache-secret', '/dev/null'], '/dev/null holds no cache secret'],
])('a router refuses %j with the reason', async (flags, message) => {
  const { code, stderr } = await infermesh([
    'router',
    '--listen',
    '127.0.0.1:0',
    '--token-file',
    join(folder, 'token'),
    ...flags,
  ]);
  expect(code).not.toBe(0);
  expect(stderr).toContain(message);
  expect(stderr).not.toContain('hunter2');
});

test('a router makes the secret of its cache for its owner only, and uses the one that is there', async () => {
  const secret = join(folder, 'cache-secret');
  await hostOf(['--listen', '127.0.0.1:0'], {});
  const made = readFileSync(secret, 'utf8');
  expect(statSync(secret).mode & 0o777).toBe(0o600);
  await hostOf(['--listen', '127.0.0.1:0'], {});
  expect(readFileSync(secret, 'utf8')).toBe(made);
});
