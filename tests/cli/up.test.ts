import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { descendants, events, infermesh, isAlive, Running } from './run.ts';

const STORIES = ['--nodes', 'stories=stories-15m:4'];
const FREE = ['--listen', '127.0.0.1:0'];

let temporary: string;
let running: Running | undefined;

beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), 'infermesh-test-'));
});

afterEach(async () => {
  if (running?.process.exitCode === null) {
    running.process.kill('SIGKILL');
    await running.ended;
  }
  rmSync(temporary, { recursive: true, force: true });
});

function up(...args: string[]): Running {
  running = new Running(['up', '--json', ...FREE, ...args], { env: { TMPDIR: temporary } });
  return running;
}

/** The process among those of the mesh that was started as `infermesh COMMAND`. */
function find(mesh: Running, command: string): number {
  const isIt = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(command);
  return descendants(mesh.process.pid!).find(isIt)!;
}

async function gone(pids: readonly number[]): Promise<void> {
  await expect.poll(() => pids.filter(isAlive)).toEqual([]);
}

test('up answers a chat, and Ctrl-C leaves no process and no file behind', async () => {
  const mesh = up(...STORIES);
  const { address, nodes } = await mesh.event('ready');
  expect(nodes).toMatchObject([{ id: 'stories', state: 'serving', models: [{ name: 'stories-15m', slots: 4 }] }]);

  const chat = await infermesh([
    'chat',
    '--router',
    String(address),
    '--max-tokens',
    '40',
    'tell me a story about a small dragon',
  ]);
  expect(chat).toMatchObject({ code: 0, stderr: '' });
  expect(chat.stdout.length).toBeGreaterThan(40);

  const pids = descendants(mesh.process.pid!);
  expect(pids.length).toBeGreaterThanOrEqual(3);
  mesh.process.kill('SIGINT');
  expect(await mesh.ended).toMatchObject({ code: 0, signal: null });
  expect(
    events(mesh.stdout)
      .map(({ event }) => event)
      .slice(-2),
  ).toEqual(['stopping', 'stopped']);
  await gone(pids);
  expect(readdirSync(temporary)).toEqual([]);
});

test('whoever started a mesh may change it, without naming a credential', async () => {
  const mesh = up(...STORIES);
  const { address } = await mesh.event('ready');
  const unloaded = await infermesh(['models', 'unload', 'stories-15m', '--json', '--router', String(address)]);
  expect(unloaded).toMatchObject({ code: 0, stderr: '' });
  expect(unloaded.stdout).toContain('"done"');
  mesh.process.kill('SIGTERM');
  expect((await mesh.ended).code).toBe(0);
});

test('a mesh whose up was killed ends by itself', async () => {
  const mesh = up(...STORIES);
  await mesh.event('ready');
  const pids = descendants(mesh.process.pid!);
  mesh.process.kill('SIGKILL');
  await mesh.ended;
  await gone(pids);
});

test('a node that dies is started again', async () => {
  const mesh = up(...STORIES);
  const { address } = await mesh.event('ready');
  process.kill(find(mesh, 'node'), 'SIGKILL');
  expect(await mesh.event('node_restarting')).toMatchObject({ node: 'stories', restartInMs: 500 });
  await expect.poll(() => events(mesh.stdout).filter(({ event }) => event === 'node_ready').length, { timeout: 20_000 }).toBe(2);
  const chat = await infermesh(['chat', '--router', String(address), '--max-tokens', '5', 'tell me a story']);
  expect(chat.code).toBe(0);
  mesh.process.kill('SIGTERM');
  expect((await mesh.ended).code).toBe(0);
});

test('the end of the router ends everything, and says so', async () => {
  const mesh = up(...STORIES);
  await mesh.event('ready');
  const all = descendants(mesh.process.pid!);
  process.kill(find(mesh, 'router'), 'SIGKILL');
  const { code, stdout } = await mesh.ended;
  expect(code).toBe(1);
  expect(events(stdout)).toContainEqual({ error: expect.objectContaining({ message: expect.stringContaining('router') }) });
  await gone(all);
  expect(readdirSync(temporary)).toEqual([]);
});

test('a port in use is told in one line, with nothing left running', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const { code, stderr, stdout } = await infermesh(['up', ...STORIES, '--listen', `127.0.0.1:${port}`], {
    env: { TMPDIR: temporary },
  });
  server.close();
  expect(code).toBe(1);
  expect(stdout).toBe('');
  expect(
    stderr
      .trim()
      .split('\n')
      .filter((line) => !/^ending/.test(line))[0],
  ).toMatch(new RegExp(`^infermesh: cannot listen on 127.0.0.1:${port}: the port is in use`));
  expect(readdirSync(temporary)).toEqual([]);
});

test('a model that is not here is given up with --no-download, and the mesh goes on with the others', async () => {
  const env = { TMPDIR: temporary, INFERMESH_MODELS: join(temporary, 'models') };
  running = new Running(
    ['up', '--json', ...FREE, '--no-download', '--nodes', 'stories=stories-15m:4,tinyllama=tinyllama-1.1b-chat:2'],
    { env },
  );
  expect(await running.event('node_given_up')).toMatchObject({ node: 'tinyllama', message: expect.stringContaining('not here') });
  expect(await running.event('ready')).toMatchObject({ nodes: [{ id: 'stories' }], givenUp: [{ name: 'tinyllama' }] });
  running.process.kill('SIGINT');
  expect((await running.ended).code).toBe(0);
});

test('without any node that can be started, up fails', async () => {
  const mesh = up('--nodes', 'a=no-such-model');
  const { code, stdout } = await mesh.ended;
  expect(code).toBe(1);
  expect(events(stdout)).toContainEqual(expect.objectContaining({ event: 'node_given_up', node: 'a' }));
  expect(events(stdout)).toContainEqual({ error: expect.objectContaining({ reason: 'NO_NODE' }) });
});

test('the first lines for people name the address and the next command', async () => {
  running = new Running(['up', ...FREE, ...STORIES], { env: { TMPDIR: temporary } });
  await expect.poll(() => running?.stdout, { timeout: 20_000 }).toContain('Ctrl-C ends everything');
  expect(running.stdout).toMatch(/The mesh answers at 127\.0\.0\.1:\d+/);
  expect(running.stdout).toMatch(/stories\s+serving\s+stories-15m\s+0\/4\s+\d+ tok\/s/);
  expect(running.stdout).toMatch(/npx infermesh chat "tell me a story about a small dragon" --router 127/);
  expect(running.stderr).toMatch(/stories {2}loading {2}\d+ %/);
  running.process.kill('SIGINT');
  expect((await running.ended).code).toBe(0);
});
