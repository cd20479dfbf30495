/** Clients that leave, stop reading or come in crowds, beside one that behaves. */
import { once } from 'node:events';
import type { ClientHttp2Stream } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ChatEvent } from '../../client/index.ts';
import { connect } from '../../client/index.ts';
import { replayText } from '../../nodes/backends/replay.ts';
import { Code } from '../../proto/contract/faults.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import { startChatProcess } from './chat-process.ts';
import { expectAtRest } from './rest.ts';
import { CHAT, chatBytes, ending, RawConnection, textIn } from './wire.ts';

let mesh: TestMesh;

beforeAll(async () => {
  mesh = await startMesh({
    nodes: [
      { engine: 'replay', model: 'steady', replay: 'rate=100', slots: 64 },
      // A token each, and nothing after it: what is tested is the cancels.
      { engine: 'replay', model: 'crowd', replay: 'rate=0,stall=1', slots: 16_000 },
      { engine: 'replay', model: 'single', replay: 'rate=200', slots: 1 },
      { engine: 'replay', model: 'four', replay: 'rate=500', slots: 4 },
      { engine: 'replay', model: 'torrent', replay: 'rate=0', slots: 128 },
    ],
  });
});
afterEach(() => expectAtRest(mesh));
afterAll(() => mesh[Symbol.asyncDispose]());

const model = (value: string) => ({ $case: 'model', value }) as const;
const turn = (text: string) => [{ role: Role.ROLE_USER, text }];
const asking = (value: string, text: string, maxTokens: number) =>
  chatBytes({ messages: turn(text), target: model(value), maxTokens });
const nodeOf = async (name: string) => (await mesh.client.nodes()).find(({ models }) => models[0]?.name === name);

/** Begins a chat and resolves with the rest of it at its first token. */
async function begun(name: string, signal: AbortSignal, maxTokens = 100_000): Promise<AsyncGenerator<ChatEvent>> {
  const events = mesh.client.chat({ messages: 'hello', model: name, maxTokens }, { signal });
  for (;;) {
    const { value, done } = await events.next();
    if (done) throw new Error('it ended before its first token');
    if (value.type === 'delta') return events;
  }
}

async function drain(events: AsyncGenerator<ChatEvent>): Promise<void> {
  for await (const _ of events);
}

describe('a cancel', () => {
  it('reaches the engine, whose slot is then free', async () => {
    const leave = new AbortController();
    const rest = begun('single', leave.signal);
    const reading = drain(await rest);
    expect((await nodeOf('single'))?.inFlight).toBe(1);
    leave.abort();
    await expect(reading).rejects.toMatchObject({ reason: 'CANCELLED' });
    await expect.poll(async () => (await nodeOf('single'))?.inFlight, { interval: 5 }).toBe(0);
  });

  it('comes 10,000 times at once on one connection, on which another stream goes on, whole and exact', async () => {
    await using wire = new RawConnection(mesh.address, { initialWindowSize: 65_535 });
    const before = await mesh.client.stats();
    const crowd: ClientHttp2Stream[] = [];
    const refusals = new Set<unknown>();
    // They come in waves and go at once.
    while (crowd.length < 10_000) {
      const wave = Array.from({ length: 500 }, (_, i) => wire.open(CHAT, asking('crowd', `${crowd.length + i}`, 100_000)));
      for (const stream of wave) {
        stream.on('error', () => {});
        stream.on('trailers', (trailers) => refusals.add(trailers['grpc-message']));
      }
      await Promise.all(wave.map((stream) => once(stream, 'response')));
      crowd.push(...wave);
    }
    const innocent = wire.open(CHAT, asking('steady', 'innocent', 200));
    const ended = ending(innocent);
    await once(innocent, 'data');
    for (const stream of crowd) stream.close(8);
    const { code, data } = await ended;
    expect(code).toBe(Code.OK);
    expect(textIn(data)).toBe(replayText(turn('innocent'), 200));
    // Other tests run beside it, on as many cores.
    await expectAtRest(mesh, 60_000);
    expect([...refusals]).toEqual([]);
    const { requestsCancelled, requestsFailed } = await mesh.client.stats();
    expect(requestsFailed).toBe(before.requestsFailed);
    expect(requestsCancelled - before.requestsCancelled).toBe(10_000);
  }, 180_000);

  it('of a request that waits takes it out of the queue at once', async () => {
    const holder = new AbortController();
    const holding = drain(await begun('single', holder.signal));
    const leave = new AbortController();
    const waiting = mesh.client.ask({ messages: 'wait', model: 'single' }, { signal: leave.signal });
    const refused = expect(waiting).rejects.toMatchObject({ reason: 'CANCELLED' });
    await expect.poll(async () => (await mesh.client.stats()).requestsWaiting, { interval: 5 }).toBe(1);
    leave.abort();
    await refused;
    await expect.poll(async () => (await mesh.client.stats()).requestsWaiting, { interval: 5 }).toBe(0);
    holder.abort();
    await expect(holding).rejects.toMatchObject({ reason: 'CANCELLED' });
  });
});

describe('a client whose process is killed in the middle', () => {
  it('frees its slot', async () => {
    await using client = await startChatProcess(mesh.address, 'single');
    expect((await nodeOf('single'))?.inFlight).toBe(1);
    await client.kill();
    await expect.poll(async () => (await nodeOf('single'))?.inFlight, { interval: 10 }).toBe(0);
  });
});

describe('a client that does not read', () => {
  it('is held for little, its engine waits, and others go on undisturbed', async () => {
    await using wire = new RawConnection(mesh.address, { initialWindowSize: 65_535 });
    const inFlight = async () => (await nodeOf('torrent'))?.inFlight;
    const count = async () => (await mesh.client.stats()).tokensRelayed;
    const stall = async () => {
      const stalled = Array.from({ length: 100 }, (_, i) => {
        const stream = wire.open(CHAT, asking('torrent', `stalled ${i}`, 100_000)).on('error', () => {});
        stream.pause();
        return stream;
      });
      await expect.poll(inFlight, { interval: 20 }).toBe(100);
      // Paused is who gives no more tokens: the count stands still.
      let tokens = -1;
      await expect
        .poll(
          async () => {
            const [last, now] = [tokens, await count()];
            tokens = now;
            return now === last;
          },
          { interval: 300 },
        )
        .toBe(true);
      return stalled;
    };
    // What a router grows by the first time is not the readers' doing.
    for (const stream of await stall()) stream.close(8);
    await expect.poll(inFlight, { interval: 20 }).toBe(0);
    const before = await mesh.client.stats();
    const stalled = await stall();
    const { text } = await mesh.client.ask({ messages: 'beside it', model: 'steady', maxTokens: 50 });
    expect(text).toBe(replayText(turn('beside it'), 50));
    expect((await mesh.client.stats()).residentBytes - before.residentBytes).toBeLessThan(30 * 1024 * 1024);
    expect(await inFlight()).toBe(100);
    for (const stream of stalled) stream.close(8);
  });

  it('gets every token once it reads again', async () => {
    await using wire = new RawConnection(mesh.address, { initialWindowSize: 1000 });
    const stream = wire.open(CHAT, asking('torrent', 'slowly', 5000));
    await once(stream, 'response');
    await sleep(300);
    const { code, data } = await ending(stream);
    expect(code).toBe(Code.OK);
    expect(textIn(data)).toBe(replayText(turn('slowly'), 5000));
  });
});

describe('more requests than slots', () => {
  it('all finish, none starves: 16 streams on 4 slots', async () => {
    const one = async (n: number) => {
      const { text, finished } = await mesh.client.ask({ messages: `number ${n}`, model: 'four', maxTokens: 100 });
      expect(text).toBe(replayText(turn(`number ${n}`), 100));
      return finished.timings?.queueMs as number;
    };
    const waits = await Promise.all(Array.from({ length: 16 }, (_, n) => one(n)));
    // 200 ms each, 4 at a time.
    expect(waits.filter((queueMs) => queueMs > 100).length).toBeGreaterThanOrEqual(12);
  });

  it('are refused beyond the bound of the queue, with the time to come back', async () => {
    const leave = new AbortController();
    const holding = drain(await begun('single', leave.signal));
    const waiting = Array.from({ length: 4 }, () => mesh.client.ask({ messages: 'wait', model: 'single', maxTokens: 1 }));
    await expect.poll(async () => (await mesh.client.stats()).requestsWaiting, { interval: 5 }).toBe(4);
    await using wire = new RawConnection(mesh.address);
    const { code, fault, trailers } = await wire.call(CHAT, asking('single', 'one too many', 1));
    expect({ code, reason: fault.reason }).toEqual({ code: Code.RESOURCE_EXHAUSTED, reason: 'QUEUE_FULL' });
    expect(fault.retryAfterMs).toBeGreaterThan(0);
    expect(Number(trailers['grpc-retry-pushback-ms'])).toBe(Math.ceil(fault.retryAfterMs as number));
    leave.abort();
    await expect(holding).rejects.toMatchObject({ reason: 'CANCELLED' });
    expect(await Promise.all(waiting)).toHaveLength(4);
  });

  it('are answered in the order they came', async () => {
    const leave = new AbortController();
    const holding = drain(await begun('single', leave.signal));
    const order: number[] = [];
    const waiting: Promise<void>[] = [];
    for (let n = 0; n < 4; n++) {
      const asked = mesh.client.ask({ messages: 'wait', model: 'single', maxTokens: 5 });
      waiting.push(asked.then(() => void order.push(n)));
      await expect.poll(async () => (await mesh.client.stats()).requestsWaiting, { interval: 5 }).toBe(n + 1);
    }
    leave.abort();
    await expect(holding).rejects.toMatchObject({ reason: 'CANCELLED' });
    await Promise.all(waiting);
    expect(order).toEqual([0, 1, 2, 3]);
  });
});

it('a client without our router says so', async () => {
  using nobody = connect('127.0.0.1:1');
  await expect(nobody.ask({ messages: 'hello' })).rejects.toMatchObject({ code: Code.UNAVAILABLE, reason: 'UNREACHABLE' });
});
