/** Answers that are given again, on real processes: who gets them, who does not, and who shares one generation. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CacheInput, ChatInput } from '../../client/index.ts';
import { CacheSource, FinishReason } from '../../client/index.ts';
import { replayText } from '../../nodes/backends/replay.ts';
import { Code } from '../../proto/contract/faults.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';

const TOKENS = 60;

let mesh: TestMesh;
beforeAll(async () => {
  mesh = await startMesh({ nodes: [{ engine: 'replay', model: 'canned', replay: `rate=100,length=${TOKENS}`, slots: 4 }] });
});
afterEach(() => expectAtRest(mesh));
afterAll(() => mesh?.[Symbol.asyncDispose]());

let prompts = 0;
/** A prompt that nobody has asked yet, greedily. */
function fresh(more: Partial<ChatInput> = {}): ChatInput {
  return { messages: `prompt ${++prompts}`, sampling: { temperature: 0 }, ...more };
}

const textOf = ({ messages }: ChatInput, tokens = TOKENS) =>
  replayText([{ role: Role.ROLE_USER, text: messages as string }], tokens);

/** Tokens that nodes gave to this router while `act` ran. */
async function tokensWhile(act: () => Promise<unknown>): Promise<number> {
  const before = (await mesh.client.stats()).tokensRelayed;
  await act();
  await expectAtRest(mesh);
  return (await mesh.client.stats()).tokensRelayed - before;
}

describe('the same request again', () => {
  it('is answered from memory: the same answer at no cost, and no node hears of it', async () => {
    const input = fresh();
    const first = await mesh.client.ask(input);
    expect(first.finished.cached).toBeUndefined();
    let again = first;
    expect(await tokensWhile(async () => (again = await mesh.client.ask(input)))).toBe(0);
    expect(again.text).toBe(textOf(input));
    expect(again.started).toMatchObject({ node: 'node-1', model: 'canned' });
    expect(again.started.requestId).not.toBe(first.started.requestId);
    const { cost, usage, cached, reason } = again.finished;
    expect({ usage, reason }).toEqual({ usage: first.finished.usage, reason: FinishReason.FINISH_REASON_STOP });
    expect(cost).toEqual({ usd: 0, referenceUsd: first.finished.cost?.referenceUsd, savedUsd: first.finished.cost?.usd });
    const { requestId } = first.started;
    expect(cached).toMatchObject({ source: CacheSource.CACHE_SOURCE_MEMORY, requestId, similarity: 1 });
  });

  it('shares its answer with a request that names the model which was chosen', async () => {
    const input = fresh();
    await mesh.client.ask(input);
    expect((await mesh.client.ask({ ...input, model: 'canned' })).finished.cached).toBeDefined();
  });

  it('comes at the pace at which it was generated when that is asked for', async () => {
    const input = fresh();
    await mesh.client.ask(input);
    let deltas = 0;
    for await (const { type } of mesh.client.chat({ ...input, cache: { paced: true } })) if (type === 'delta') deltas++;
    expect(deltas).toBe(TOKENS);
    deltas = 0;
    for await (const { type } of mesh.client.chat(input)) if (type === 'delta') deltas++;
    expect(deltas).toBe(1);
  });

  it('is rated as the answer that it is', async () => {
    const input = fresh();
    await mesh.client.ask(input);
    const { started } = await mesh.client.ask(input);
    expect(await mesh.client.feedback(started.requestId, { rating: 1 })).toBeGreaterThan(0.5);
  });

  it('is foreseen by explain', async () => {
    const input = fresh();
    expect((await mesh.client.explain(input)).cached).toBeUndefined();
    await mesh.client.ask(input);
    expect((await mesh.client.explain(input)).cached).toMatchObject({ source: CacheSource.CACHE_SOURCE_MEMORY });
  });

  const isCached = async (input: ChatInput, cache?: CacheInput) =>
    (await mesh.client.ask({ ...input, ...(cache ? { cache } : {}) })).finished.cached !== undefined;

  it('is generated anew when chance draws the answer, unless the caller lets it be used again', async () => {
    const input = fresh({ sampling: { temperature: 0.7 } });
    expect([await isCached(input), await isCached(input)]).toEqual([false, false]);
    expect([await isCached(input, { sampled: true }), await isCached(input, { sampled: true })]).toEqual([false, true]);
    expect(await isCached(input)).toBe(false);
  });

  it('with a seed is deterministic', async () => {
    const input = fresh({ sampling: { temperature: 0.7, seed: 1 } });
    expect([await isCached(input), await isCached(input)]).toEqual([false, true]);
    expect(await isCached({ ...input, sampling: { temperature: 0.7, seed: 2 } })).toBe(false);
  });

  it('bypasses the cache, refreshes it, or wants nothing else, as it says', async () => {
    const input = fresh();
    const nothing = mesh.client.ask({ ...input, cache: { mode: 'only-if-cached' } });
    await expect(nothing).rejects.toMatchObject({ code: Code.NOT_FOUND, reason: 'NOT_CACHED' });
    expect(await isCached(input, { mode: 'bypass' })).toBe(false);
    expect(await isCached(input, { mode: 'refresh' })).toBe(false);
    expect(await isCached(input, { mode: 'only-if-cached' })).toBe(true);
    expect(await isCached(input, { mode: 'refresh' })).toBe(false);
  });

  it('is not generated where it wants nothing but the cache, which has no part in it', async () => {
    const input = fresh({ sampling: { temperature: 0.7 }, cache: { mode: 'only-if-cached' } });
    expect(await tokensWhile(() => expect(mesh.client.ask(input)).rejects.toMatchObject({ reason: 'NOT_CACHED' }))).toBe(0);
  });

  it('is not answered by what was cut off', async () => {
    const input = fresh({ maxTokens: 10 });
    expect((await mesh.client.ask(input)).finished.reason).toBe(FinishReason.FINISH_REASON_LENGTH);
    expect(await isCached(input)).toBe(false);
  });

  it('is refused a lifetime out of its bounds', async () => {
    const tooLong = mesh.client.ask(fresh({ cache: { ttlSeconds: 86_401 } }));
    await expect(tooLong).rejects.toMatchObject({ reason: 'INVALID_REQUEST', violations: [{ field: 'cache.ttl_seconds' }] });
  });
});

describe('equal requests at the same time', () => {
  it('share one generation', async () => {
    const input = fresh();
    const before = (await mesh.client.stats()).requestsCached;
    let answers: Awaited<ReturnType<typeof mesh.client.ask>>[] = [];
    const tokens = await tokensWhile(async () => {
      answers = await Promise.all(Array.from({ length: 100 }, () => mesh.client.ask(input)));
    });
    expect(tokens).toBe(TOKENS);
    expect(new Set(answers.map(({ text }) => text))).toEqual(new Set([textOf(input)]));
    expect(new Set(answers.map(({ started }) => started.requestId)).size).toBe(100);
    const sources = answers.map(({ finished }) => finished.cached?.source);
    expect(sources.filter((source) => source === undefined)).toHaveLength(1);
    expect(sources.filter((source) => source === CacheSource.CACHE_SOURCE_SHARED)).toHaveLength(99);
    expect((await mesh.client.stats()).requestsCached - before).toBe(99);
  });

  /** Resolves at its first token; `text` is the whole answer, in time. */
  async function begun(input: ChatInput, options: { signal?: AbortSignal; deadlineMs?: number } = {}) {
    const events = mesh.client.chat(input, options);
    let text = '';
    for (;;) {
      const { value, done } = await events.next();
      if (done) throw new Error('it ended before its first token');
      if (value.type !== 'delta') continue;
      text = value.text;
      break;
    }
    const rest = async () => {
      for await (const event of events) if (event.type === 'delta') text += event.text;
      return text;
    };
    return { text: rest() };
  }

  it('go on when the one that it was generated for leaves, and a newcomer gets all of it', async () => {
    const input = fresh();
    const tokens = await tokensWhile(async () => {
      const leaving = new AbortController();
      const leader = await begun(input, { signal: leaving.signal });
      const follower = await begun(input);
      leaving.abort();
      await expect(leader.text).rejects.toMatchObject({ reason: 'CANCELLED' });
      const newcomer = await begun(input);
      expect([await follower.text, await newcomer.text]).toEqual([textOf(input), textOf(input)]);
    });
    expect(tokens).toBe(TOKENS);
  });

  it('go on behind what they have when the time of the one that it was generated for is up', async () => {
    const input = fresh();
    const leader = await begun(input, { deadlineMs: 400 });
    const followers = await Promise.all([begun(input), begun(input)]);
    await expect(leader.text).rejects.toMatchObject({ reason: 'DEADLINE_EXCEEDED' });
    for (const { text } of followers) expect(await text).toBe(textOf(input));
  });

  it('take the one that left in again when it comes back under its idempotency key', async () => {
    const input = fresh();
    const leaving = new AbortController();
    const own = { ...input, idempotencyKey: 'comes-back' };
    const leader = await begun(own, { signal: leaving.signal });
    const follower = await begun(input);
    leaving.abort();
    await expect(leader.text).rejects.toMatchObject({ reason: 'CANCELLED' });
    // Its own call ends for itself; by the answer to another one the router knows that it has left.
    await mesh.client.stats();
    const back = await begun(own);
    expect([await back.text, await follower.text]).toEqual([textOf(input), textOf(input)]);
  });

  it('cancel the engine once the last of them has left', async () => {
    const input = fresh();
    const leaving = new AbortController();
    const members = await Promise.all([begun(input, { signal: leaving.signal }), begun(input, { signal: leaving.signal })]);
    leaving.abort();
    for (const { text } of members) await expect(text).rejects.toMatchObject({ reason: 'CANCELLED' });
    await expectAtRest(mesh, 400);
  });

  it('want nothing of each other where one of them bypasses the cache', async () => {
    const input = fresh();
    const tokens = await tokensWhile(() =>
      Promise.all([mesh.client.ask(input), mesh.client.ask({ ...input, cache: { mode: 'bypass' } })]),
    );
    expect(tokens).toBe(2 * TOKENS);
  });
});

it('an answer outlives the nodes that gave it', async () => {
  await using own = await startMesh({ nodes: [{ engine: 'replay', model: 'canned', replay: 'length=5' }] });
  const input = fresh({ model: 'canned' });
  const { text } = await own.client.ask(input);
  await own.nodes[0]?.stop();
  await own.until((nodes) => nodes.length === 0);
  const again = await own.client.ask(input);
  expect(again.text).toBe(text);
  expect(again.finished.cached?.source).toBe(CacheSource.CACHE_SOURCE_MEMORY);
});

it('a model that was chosen for want of one that suits the task is not chosen again by the cache', async () => {
  await using own = await startMesh({ nodes: [{ model: 'stories-15m' }] });
  const input: ChatInput = { messages: 'What is the capital of France?', sampling: { temperature: 0 }, stop: ['.'] };
  const { started, finished } = await own.client.ask(input);
  expect([started.model, finished.reason]).toEqual(['stories-15m', FinishReason.FINISH_REASON_STOP_STRING]);
  expect((await own.client.ask(input)).finished.cached).toBeUndefined();
  expect((await own.client.ask({ ...input, model: 'stories-15m' })).finished.cached).toBeDefined();
});
