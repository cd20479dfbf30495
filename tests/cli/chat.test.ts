import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import type { Call } from './run.ts';
import { events, infermesh, Running } from './run.ts';

let mesh: TestMesh;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'infermesh-test-'));
  const policy = join(folder, 'policy.yaml');
  // What is believed best is chosen: no model is tried for the sake of learning.
  writeFileSync(policy, 'default: { exploration: 0 }\n');
  mesh = await startMesh({
    routerFlags: ['--policy', policy],
    nodes: [
      { id: 'stories', slots: 4 },
      { id: 'canned', engine: 'replay', model: 'canned', replay: 'rate=50' },
    ],
  });
});

afterAll(async () => {
  for (const { process } of open) process.kill('SIGKILL');
  await mesh[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const ask = (args: readonly string[], call: Call = {}) => infermesh([...args, '--router', mesh.address], call);
/** A chat that streams for 100 s unless it is ended. */
async function longAnswer(): Promise<Running> {
  const running = new Running(['chat', '--json', '--model', 'canned', '--max-tokens', '5000', 'go on', '--router', mesh.address]);
  open.push(running);
  await expect.poll(() => running.stdout).toContain('delta');
  return running;
}

const open: Running[] = [];
const STORY = 'tell me a story about a small dragon';

test('chat --json prints every event as a line', async () => {
  const { code, stdout } = await ask(['chat', '--json', '--max-tokens', '12', '--seed', '7', STORY]);
  expect(code).toBe(0);
  const all = events(stdout);
  expect(all[0]).toMatchObject({ type: 'started', node: 'stories', model: 'stories-15m', decision: { task: 'story' } });
  expect(all.at(-1)).toMatchObject({ type: 'finished', reason: 'length', usage: { outputTokens: 12 } });
  const deltas = all.slice(1, -1);
  expect(deltas.every(({ type }) => type === 'delta')).toBe(true);
  expect(deltas.reduce((sum, { tokens }) => sum + Number(tokens), 0)).toBe(12);
});

test('the same seed gives the same answer', async () => {
  const args = ['chat', '--model', 'stories-15m', '--max-tokens', '20', '--seed', '3', '--temperature', '1', STORY];
  const [one, other] = [await ask(args), await ask(args)];
  expect(one.stdout).toBe(other.stdout);
  expect(one.stdout.trim()).not.toBe('');
});

test('a prompt is read from stdin when it is piped, and when it is -', async () => {
  for (const args of [['chat'], ['chat', '-']]) {
    const { code, stdout, stderr } = await ask([...args, '--max-tokens', '8'], { stdin: STORY });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.endsWith('\n')).toBe(true);
  }
});

test('an empty, a binary and an endless stdin are refused as mistakes of the caller', async () => {
  const inputs = [
    ['', 'is empty'],
    [Buffer.from([0xff, 0xfe, 0x41]), 'must be UTF-8'],
    [Buffer.alloc(2_000_000, 'a'), 'at most 1048576 bytes'],
  ] as const;
  for (const [stdin, message] of inputs) {
    const { code, stderr } = await ask(['chat'], { stdin });
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  }
});

test('stop strings may be repeated, and end the answer', async () => {
  const { stdout } = await ask(['chat', '--json', '--stop', '.', '--stop', '!', '--max-tokens', '200', STORY]);
  expect(events(stdout).at(-1)).toMatchObject({ reason: 'stop_string' });
  expect(
    events(stdout)
      .map(({ text }) => text ?? '')
      .join(''),
  ).not.toMatch(/[.!]/);
});

test('an answer can be held to a JSON schema', async () => {
  const schema = join(folder, 'schema.json');
  writeFileSync(schema, JSON.stringify({ type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] }));
  const { code, stdout } = await ask(['chat', '--json-schema', schema, '--max-tokens', '100', STORY]);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toEqual({ ok: expect.any(Boolean) });
});

test('Ctrl-C stops an answer, and the exit code says so', async () => {
  const running = await longAnswer();
  running.process.kill('SIGINT');
  expect(await running.ended).toMatchObject({ code: 130, stderr: '' });
  await mesh.until((nodes) => nodes.every(({ inFlight }) => inFlight === 0));
});

test('a reader that has seen enough ends the chat quietly', async () => {
  const running = await longAnswer();
  running.process.stdout?.destroy();
  await expect.poll(() => running.process.exitCode).toBe(0);
  expect(running.stderr).toBe('');
});

test('what the router refuses is told field by field', async () => {
  const { code, stderr } = await ask(['chat', '--temperature', '7', '--top-p', '9', STORY]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/sampling\.temperature .*7/);
  expect(stderr).toMatch(/sampling\.top_p .*9/);
});

test('an error in JSON has reason, code, message and violations', async () => {
  const { code, stdout } = await ask(['chat', '--json', '--model', 'no-such-model', STORY]);
  expect(code).toBe(1);
  const { error } = events(stdout)[0] as { error: Record<string, unknown> };
  expect(error).toMatchObject({ reason: 'MODEL_NOT_FOUND', code: 5, message: expect.stringContaining('model'), violations: [] });
});

test('a router that is not there is told in one line with what to do', async () => {
  const { code, stderr, stdout } = await infermesh(['chat', STORY, '--router', '127.0.0.1:1']);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toBe(
    'infermesh: no router answers at 127.0.0.1:1; start a mesh with "infermesh up", or name its router with --router HOST:PORT\n',
  );
});

test('ps shows the nodes, their models and slots', async () => {
  const { code, stdout } = await ask(['ps']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^ {2}NODE +STATE +MODEL +SLOTS +SPEED +HARDWARE/);
  expect(stdout).toMatch(/stories +serving +stories-15m +\d\/4 +\d+ tok\/s/);
});

test('ps --json is one object, and --watch one line for each change', async () => {
  const { stdout } = await ask(['ps', '--json']);
  const [{ nodes }] = events(stdout) as [{ nodes: { id: string; state: string }[] }];
  expect(nodes.map(({ id, state }) => [id, state]).toSorted()).toEqual([
    ['canned', 'serving'],
    ['stories', 'serving'],
  ]);
  const watching = new Running(['ps', '--json', '--watch', '--router', mesh.address]);
  open.push(watching);
  await expect.poll(() => events(watching.stdout).length).toBeGreaterThan(1);
  watching.process.kill('SIGINT');
  expect(await watching.ended).toMatchObject({ code: 0, stderr: '' });
});

test('explain tells the choice, its reason and why not the others', async () => {
  const { code, stdout } = await ask(['explain', STORY]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^stories-15m on stories\n/);
  expect(stdout).toMatch(/✓ +stories +stories-15m/);
  expect(stdout).toMatch(/[◆·] +canned +canned /);
  const json = events((await ask(['explain', '--json', '--model', 'canned', STORY])).stdout)[0];
  expect(json).toMatchObject({
    candidates: [
      { node: 'canned', chosen: true },
      { node: 'stories', chosen: false },
    ],
  });
});
