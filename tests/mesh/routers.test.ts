/** Two routers, two nodes that serve both, and a client that knows both: the router in use dies, stands still or leaves. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ChatEvent, Mesh } from '../../client/index.ts';
import { connect, NodeState } from '../../client/index.ts';
import { replayText } from '../../nodes/backends/replay.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';

const TOKENS = 300;
const STREAMS = 50;

let mesh: TestMesh;
let client: Mesh;
/** Of the other router alone. */
let beside: Mesh;

beforeEach(async () => {
  mesh = await startMesh({ nodes: [] });
  const { address, client: own } = await mesh.addRouter();
  beside = own;
  client = connect([mesh.address, address]);
  const node = (id: string) =>
    ({ id, engine: 'replay', model: 'canned', replay: 'rate=150', slots: STREAMS, flags: ['--join', address] }) as const;
  await Promise.all([mesh.addNode(node('one')), mesh.addNode(node('two'))]);
  const serving = async () => (await beside.nodes()).filter(({ state }) => state === NodeState.NODE_STATE_SERVING).length;
  await expect.poll(serving).toBe(2);
});
afterEach(async () => {
  client.close();
  await mesh[Symbol.asyncDispose]();
});

interface Stream {
  /** Resolves at the tenth token. */
  readonly begun: Promise<void>;
  readonly events: Promise<ChatEvent[]>;
}

function stream(prompt: string): Stream {
  const begun = Promise.withResolvers<void>();
  const read = async () => {
    const events: ChatEvent[] = [];
    for await (const event of client.chat({ messages: prompt, model: 'canned', maxTokens: TOKENS })) {
      events.push(event);
      if (event.type === 'delta' && event.seq >= 10) begun.resolve();
    }
    return events;
  };
  const events = read();
  events.catch(begun.reject);
  return { begun: begun.promise, events };
}

/** All of it, each token once, in order, in one stream. */
function expectWhole(prompt: string, events: readonly ChatEvent[]): void {
  expect(events[0]?.type).toBe('started');
  expect(events.filter(({ type }) => type !== 'delta')).toHaveLength(2);
  const deltas = events.filter((event) => event.type === 'delta');
  let due = 0;
  for (const { seq, tokens } of deltas) {
    expect(seq).toBe(due);
    due += tokens;
  }
  expect(deltas.map(({ text }) => text).join('')).toBe(replayText([{ role: Role.ROLE_USER, text: prompt }], TOKENS));
}

describe('the router in use, in the middle of many streams', () => {
  it.each<[string, NodeJS.Signals, number]>([
    ['is killed', 'SIGKILL', 1],
    ['stands still', 'SIGSTOP', 1],
    ['is told to end', 'SIGTERM', 0],
  ])('%s: every answer is the one that it would have been', async (_how, signal, migrations) => {
    const prompts = Array.from({ length: STREAMS }, (_, n) => `number ${n}`);
    const streams = prompts.map(stream);
    await Promise.all(streams.map(({ begun }) => begun));
    mesh.router.process.kill(signal);
    const all = await Promise.all(streams.map(({ events }) => events));
    for (const [n, events] of all.entries()) {
      expectWhole(prompts[n] as string, events);
      // Within its time to finish a router that leaves need not hand anything over.
      expect(events.at(-1)).toMatchObject({ type: 'finished', migrations });
    }
    expectWhole('afterwards', await stream('afterwards').events);
    expect(client.address).toBe(beside.address);
    await expectAtRest({ client: beside });
    if (signal === 'SIGSTOP') mesh.router.process.kill('SIGCONT');
  });
});
