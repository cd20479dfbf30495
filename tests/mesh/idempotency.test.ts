/** The same request twice at one router, by its idempotency key. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { ChatEvent, ChatInput } from '../../client/index.ts';
import { replayText } from '../../nodes/backends/replay.ts';
import { Code } from '../../proto/contract/faults.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';

const TOKENS = 100;
const WHOLE = replayText([{ role: Role.ROLE_USER, text: 'hello' }], TOKENS);

let mesh: TestMesh;
beforeAll(async () => {
  mesh = await startMesh({ nodes: [{ engine: 'replay', model: 'canned', replay: 'rate=100' }] });
});
afterEach(() => expectAtRest(mesh));
afterAll(() => mesh[Symbol.asyncDispose]());

const asking = (idempotencyKey: string, more: Partial<ChatInput> = {}): ChatInput => ({
  messages: 'hello',
  maxTokens: TOKENS,
  idempotencyKey,
  ...more,
});

/** Resolves at the first token, with the rest of the stream. */
async function begun(input: ChatInput, signal?: AbortSignal): Promise<AsyncGenerator<ChatEvent>> {
  const events = mesh.client.chat(input, signal && { signal });
  for (;;) {
    const { value, done } = await events.next();
    if (done) throw new Error('it ended before its first token');
    if (value.type === 'delta') return events;
  }
}
async function rest(events: AsyncGenerator<ChatEvent>): Promise<void> {
  for await (const _ of events);
}

it('once it has been answered, gives the kept answer, which no model is asked for', async () => {
  const input = asking(randomUUID());
  const first = await mesh.client.ask(input);
  const { tokensRelayed } = await mesh.client.stats();
  expect(await mesh.client.ask(input)).toEqual(first);
  expect(first.text).toBe(WHOLE);
  expect((await mesh.client.stats()).tokensRelayed).toBe(tokensRelayed);
});

it('while it is being answered, takes the stream over, from its beginning', async () => {
  const input = asking(randomUUID());
  const former = rest(await begun(input));
  const cancelled = expect(former).rejects.toMatchObject({ code: Code.CANCELLED, reason: 'CANCELLED' });
  const { text, finished } = await mesh.client.ask(input);
  expect(text).toBe(WHOLE);
  expect(finished.usage?.outputTokens).toBe(TOKENS);
  await cancelled;
});

it('is a conflict when anything else in it differs', async () => {
  const key = randomUUID();
  const first = rest(await begun(asking(key)));
  const conflict = { code: Code.ALREADY_EXISTS, reason: 'IDEMPOTENCY_CONFLICT' };
  await expect(mesh.client.ask(asking(key, { maxTokens: TOKENS - 1 }))).rejects.toMatchObject(conflict);
  await first;
  await expect(mesh.client.ask(asking(key, { messages: 'hallo' }))).rejects.toMatchObject(conflict);
});

it('is answered anew after the first was cancelled', async () => {
  const input = asking(randomUUID());
  const leave = new AbortController();
  const first = rest(await begun(input, leave.signal));
  leave.abort();
  await expect(first).rejects.toMatchObject({ reason: 'CANCELLED' });
  await expectAtRest(mesh);
  expect((await mesh.client.ask(input)).text).toBe(WHOLE);
});
