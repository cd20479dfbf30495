/** A node's process that is to leave, by a router's word or a signal, with two routers that do what the test says. */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Ended, Report } from '../../proto/gen/infermesh/v1/link.ts';
import { NodeState, Role } from '../../proto/gen/infermesh/v1/types.ts';
import type { Member } from '../support/mesh.ts';
import { startMember } from '../support/mesh.ts';
import type { NodeStream } from './fake-router.ts';
import { FakeRouter } from './fake-router.ts';

const MODEL = 'm';
const MESSAGES = [{ role: Role.ROLE_USER, text: 'hello' }];

let folder: string;
let routers: FakeRouter[];
let node: Member;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'infermesh-drain-'));
  writeFileSync(join(folder, 'token'), 'a-join-token-for-tests-only\n');
  routers = [await FakeRouter.start(), await FakeRouter.start()];
});
afterEach(async () => {
  await node.stop('SIGKILL');
  await Promise.all(routers.map((router) => router[Symbol.asyncDispose]()));
  rmSync(folder, { recursive: true });
});

const serving = ({ state }: Report) => state === NodeState.NODE_STATE_SERVING;
const draining = ({ state }: Report) => state === NodeState.NODE_STATE_DRAINING;

interface Served {
  readonly one: NodeStream;
  readonly other: NodeStream;
  /** Resolves with the exit code. */
  readonly exited: Promise<number | null>;
}

/** Starts the node; resolves when it serves both routers. */
async function serve(flags: readonly string[], model = MODEL, env: NodeJS.ProcessEnv = {}): Promise<Served> {
  const addresses = routers.map(({ address }) => address).join(',');
  const common = ['--join', addresses, '--token-file', join(folder, 'token'), '--id', 'leaver', '--model', model, '--slots', '2'];
  node = startMember(['node', ...common, ...flags], env);
  const exited = once(node.process, 'exit').then(([code]) => code as number | null);
  const streams = await Promise.all(routers.map((router) => router.attached()));
  for (const stream of streams) stream.welcome();
  await Promise.all(streams.map((stream) => stream.next('report', serving)));
  const [one, other] = streams as [NodeStream, NodeStream];
  return { one, other, exited };
}

const replay = (what: string, ...flags: string[]) => ['--engine', 'replay', '--replay', what, ...flags];

/** Asks for an endless answer; resolves at its first token. */
async function work(stream: NodeStream, model = MODEL, maxTokens = 1_000_000): Promise<void> {
  stream.work({ model, messages: MESSAGES, maxTokens, creditBytes: 1 << 30 });
  await stream.next('progress', ({ tokens }) => tokens.length > 0);
}

async function endOf(stream: NodeStream, request = 1): Promise<Ended> {
  const { ended } = await stream.next('progress', (progress) => progress.ended.some((end) => end.request === request));
  return ended.find((end) => end.request === request) as Ended;
}

const handedBack = { outcome: { $case: 'failure', value: { reason: 'DRAINING' } } };

describe('a node that a router asks to drain', () => {
  it('tells all routers, refuses what is new, finishes what runs, and ends with 0', async () => {
    const { one, other, exited } = await serve(replay('rate=100'));
    await work(one, MODEL, 150);
    const begun = work(other, MODEL, 100);
    await begun;
    one.send({ $case: 'drain', value: { limitMs: 60_000 } });
    await Promise.all([one, other].map((stream) => stream.next('report', draining)));
    other.work({ request: 2, model: MODEL, messages: MESSAGES, maxTokens: 5 });
    expect(await endOf(other, 2)).toMatchObject(handedBack);
    const ends = await Promise.all([endOf(one), endOf(other)]);
    expect(ends).toMatchObject([
      { tokens: 150, outcome: { $case: 'finish' } },
      { tokens: 100, outcome: { $case: 'finish' } },
    ]);
    expect(await exited).toBe(0);
  });

  it('hands back to each router what is left at the limit', async () => {
    const { one, other, exited } = await serve(replay('rate=100'));
    await Promise.all([work(one), work(other)]);
    const askedAt = performance.now();
    one.send({ $case: 'drain', value: { limitMs: 400 } });
    expect(await Promise.all([endOf(one), endOf(other)])).toMatchObject([handedBack, handedBack]);
    expect(performance.now() - askedAt).toBeGreaterThan(390);
    expect(await exited).toBe(0);
  });

  it('waits neither for an engine that gives nothing nor for a collector that takes nothing', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const traced = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`, OTEL_TRACES_EXPORTER: 'otlp' };
    const { one, exited } = await serve(replay('wedge=0'), MODEL, traced);
    one.work({ model: MODEL, messages: MESSAGES, maxTokens: 5 });
    one.send({ $case: 'drain', value: { limitMs: 100 } });
    expect(await endOf(one)).toMatchObject(handedBack);
    expect(await exited).toBe(0);
    silent.close();
  });

  it('ends with 0 also while it loads its model', async () => {
    const addresses = routers.map(({ address }) => address).join(',');
    node = startMember(['node', '--join', addresses, '--token-file', join(folder, 'token'), '--model', 'stories-15m']);
    const exited = once(node.process, 'exit');
    const [one] = (await Promise.all(routers.map((router) => router.attached()))) as [NodeStream];
    one.welcome();
    await one.next('report', ({ state }) => state === NodeState.NODE_STATE_LOADING);
    one.send({ $case: 'drain', value: { limitMs: 1000 } });
    expect(await exited).toEqual([0, null]);
  });

  it("leaves no engine's process behind", async () => {
    const { one, exited } = await serve(['--threads', '1'], 'stories-15m');
    await work(one, 'stories-15m');
    const [engine] = childrenOf(node.pid) as [number];
    expect(isAlive(engine)).toBe(true);
    one.send({ $case: 'drain', value: { limitMs: 0 } });
    expect(await endOf(one)).toMatchObject(handedBack);
    expect(await exited).toBe(0);
    expect(isAlive(engine)).toBe(false);
  });
});

describe('a node that is told to end by a signal', () => {
  it('does the same within its own drain time', async () => {
    const { one, other, exited } = await serve(replay('rate=100', '--drain-ms', '300'));
    await Promise.all([work(one), work(other)]);
    const toldAt = performance.now();
    node.process.kill('SIGTERM');
    await Promise.all([one, other].map((stream) => stream.next('report', draining)));
    expect(await Promise.all([endOf(one), endOf(other)])).toMatchObject([handedBack, handedBack]);
    expect(performance.now() - toldAt).toBeGreaterThan(290);
    expect(await exited).toBe(0);
  });

  it('drains no longer than its own time, also when a router gave it more', async () => {
    const { one, exited } = await serve(replay('rate=100', '--drain-ms', '200'));
    await work(one);
    one.send({ $case: 'drain', value: { limitMs: 3_600_000 } });
    await one.next('report', draining);
    node.process.kill('SIGTERM');
    expect(await endOf(one)).toMatchObject(handedBack);
    expect(await exited).toBe(0);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('ends at once when %s comes as a second one', async (second) => {
    const { one, exited } = await serve(replay('rate=100'));
    await work(one);
    node.process.kill('SIGTERM');
    await one.next('report', draining);
    // One within a blink counts as an echo of the first.
    await new Promise((resolve) => setTimeout(resolve, 400));
    node.process.kill(second);
    expect(await exited).toBe(130);
  });
});

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
