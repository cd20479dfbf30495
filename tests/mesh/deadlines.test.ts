import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Code } from '../../proto/contract/faults.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';
import { CHAT, chatBytes, ending, RawConnection, textIn } from './wire.ts';

let mesh: TestMesh;
let wire: RawConnection;

beforeAll(async () => {
  mesh = await startMesh({
    nodes: [
      { engine: 'replay', model: 'short', replay: 'length=5' },
      { engine: 'replay', model: 'endless', replay: 'rate=100', slots: 1 },
    ],
  });
  wire = new RawConnection(mesh.address);
});
afterEach(() => expectAtRest(mesh));
afterAll(async () => {
  await wire[Symbol.asyncDispose]();
  await mesh[Symbol.asyncDispose]();
});

const asking = (model: string) =>
  chatBytes({ messages: [{ role: 2, text: 'hello' }], target: { $case: 'model', value: model }, maxTokens: 100_000 });
const call = (model: string, timeout: string) => wire.call(CHAT, asking(model), { 'grpc-timeout': timeout });

describe('a deadline', () => {
  it.each(['0S', '0n', '0H', '1n'])('of %s ends the call before any node sees it', async (timeout) => {
    const before = (await mesh.client.stats()).tokensRelayed;
    const { code, data } = await call('short', timeout);
    expect(code).toBe(Code.DEADLINE_EXCEEDED);
    expect(data).toHaveLength(0);
    expect((await mesh.client.stats()).tokensRelayed).toBe(before);
  });

  it.each(['2592000S', '99999999H', '99999999S', '10M'])('of %s is taken for the longest there is', async (timeout) => {
    const { code, data } = await call('short', timeout);
    expect(code).toBe(Code.OK);
    expect(textIn(data).split(' ')).toHaveLength(5);
  });

  it.each(['-5S', 'soon', '5', '5s', '123456789S', '1.5S'])('of %s is refused as unreadable', async (timeout) => {
    const { code, fault } = await call('short', timeout);
    expect({ code, reason: fault.reason }).toEqual({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_REQUEST' });
    expect(fault.violations).toEqual([
      { field: 'grpc-timeout', description: expect.stringContaining('up to 8 digits and one of H, M, S, m, u, n') },
    ]);
  });

  it('that has passed at the client never leaves it', async () => {
    const messages = 'hello';
    await expect(mesh.client.ask({ messages, model: 'short' }, { deadlineMs: -1000 })).rejects.toMatchObject({
      reason: 'DEADLINE_EXCEEDED',
    });
  });

  it('that no node can meet is refused at once', async () => {
    const text = 'x'.repeat(1_000_000);
    const request = chatBytes({ messages: [{ role: 2, text }], target: { $case: 'model', value: 'endless' } });
    const { code, fault, message } = await wire.call(CHAT, request, { 'grpc-timeout': '300m' });
    expect({ code, reason: fault.reason }).toEqual({ code: Code.DEADLINE_EXCEEDED, reason: 'DEADLINE_EXCEEDED' });
    expect(message).toContain('its first token cannot come before');
  });

  it('that passes in the middle ends the stream with what was given, and stops the engine', async () => {
    const startedAt = performance.now();
    const { code, data, fault } = await call('endless', '1500m');
    const tookMs = performance.now() - startedAt;
    expect({ code, reason: fault.reason }).toEqual({ code: Code.DEADLINE_EXCEEDED, reason: 'DEADLINE_EXCEEDED' });
    expect(textIn(data).split(' ').length).toBeGreaterThan(20);
    expect(tookMs).toBeGreaterThan(1450);
    // Its only slot is free again: another stream gets it.
    const next = wire.open(CHAT, asking('endless'));
    const ended = ending(next);
    await once(next, 'data');
    next.close(8);
    await ended.catch(() => {});
  });

  it('that passes while the request waits for a slot ends the wait', async () => {
    const holder = wire.open(CHAT, asking('endless'));
    await once(holder, 'data');
    const { code, data } = await call('endless', '200m');
    expect(code).toBe(Code.DEADLINE_EXCEEDED);
    expect(data).toHaveLength(0);
    holder.close(8);
  });
});
