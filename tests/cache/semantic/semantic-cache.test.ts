import { describe, expect, test } from 'vitest';
import { MemoryIndex } from '../../../cache/semantic/memory-index.ts';
import type { IndexEntry, Partition, SemanticIndex } from '../../../cache/semantic/port.ts';
import type { Prompt, SemanticEvent } from '../../../cache/semantic/semantic-cache.ts';
import { SemanticCache } from '../../../cache/semantic/semantic-cache.ts';
import { FakeClock, seeded } from '../../support/clock.ts';
import { keyring, MODEL, POLICY, prompt, vectorOf } from './prompts.ts';

const LONG_MS = 900_000;
const PANCAKES = 'How do I make pancakes?';
const SAME_PANCAKES = 'Please, how can I make pancakes?';

function world(over: (index: SemanticIndex) => SemanticIndex = (index) => index) {
  const clock = new FakeClock();
  const events: SemanticEvent[] = [];
  const index = over(new MemoryIndex(clock));
  const cache = new SemanticCache({ index, clock, random: seeded(1), tell: (event) => events.push(event) });
  return {
    clock,
    events,
    cache,
    async add(text: string, of: Partial<Prompt> = {}, reference = `answer to ${text}`, ttlMs = LONG_MS) {
      const asked = cache.ask(prompt(text, of));
      if (asked) await cache.add(asked, vectorOf(asked.text), Buffer.from(reference), ttlMs);
    },
    async find(text: string, of: Partial<Prompt> = {}) {
      const asked = cache.ask(prompt(text, of));
      if (!asked) return undefined;
      const found = await cache.find(asked, vectorOf(asked.text), POLICY);
      return { asked, ...found, answer: found.hit?.reference.toString() };
    },
  };
}

describe('a prompt that means the same', () => {
  test('finds where the answer is, and how near the two are', async () => {
    const { add, find, cache } = world();
    await add(PANCAKES);
    await add('How do I make waffles?');
    const found = await find(SAME_PANCAKES);
    expect(found?.answer).toBe(`answer to ${PANCAKES}`);
    expect(found?.hit?.similarity).toBeGreaterThan(POLICY.similarity);
    expect(found?.hit?.similarity).toBeLessThanOrEqual(1);
    expect(await cache.stats()).toMatchObject({ index: 'memory', entries: 2, hits: 1, guarded: 0 });
  });

  test('finds nothing where the nearest is near and says something else', async () => {
    const { add, find, cache } = world();
    await add('Explain in simple words what happens to water in a pot that boils at 100 degrees');
    const found = await find('Explain in simple words what happens to water in a pot that boils at 120 degrees');
    expect(found).toMatchObject({ hit: undefined, guarded: 'exact' });
    expect(await cache.stats()).toMatchObject({ hits: 0, guarded: 1 });
  });

  test('finds the one that agrees behind others that are nearer and do not', async () => {
    const { add, find } = world();
    const ask = (year: number) => `Who won the football world cup that was played in the summer of ${year}?`;
    for (const year of [2002, 2006, 2010, 2014]) await add(ask(year));
    expect((await find(ask(2010).toLowerCase()))?.answer).toBe(`answer to ${ask(2010)}`);
  });

  test('finds nothing once the time is over, or it was forgotten', async () => {
    const { add, find, cache, clock } = world();
    await add(PANCAKES, {}, 'soon gone', 1000);
    clock.advance(1001);
    expect((await find(SAME_PANCAKES))?.hit).toBeUndefined();
    await add(PANCAKES);
    const found = await find(SAME_PANCAKES);
    await cache.forget(found!.asked, found!.hit!);
    expect((await find(SAME_PANCAKES))?.hit).toBeUndefined();
  });

  test('finds nothing of another scope, embedding model, or tenant', async () => {
    const { add, find } = world();
    await add(PANCAKES);
    const elsewhere: readonly Partial<Prompt>[] = [
      { scope: Buffer.from('another') },
      { model: { ...MODEL, digest: 'sha256:01' } },
      { model: { ...MODEL, name: 'other' } },
      { tenant: 'bolt' },
      { tenant: undefined },
    ];
    for (const of of elsewhere) expect((await find(PANCAKES, of))?.hit).toBeUndefined();
    expect((await find(PANCAKES))?.hit).toBeDefined();
  });

  test('is not compared where it is too long, laid out in lines, or says nothing of its own', () => {
    const { cache } = world();
    for (const text of ['x '.repeat(400), 'a\nb\nc\nd\ne', 'What is it?', '']) expect(cache.ask(prompt(text))).toBeUndefined();
  });

  test('takes no vector that is not of the model’s length, nor of length 1', async () => {
    const { cache } = world();
    const asked = cache.ask(prompt(PANCAKES))!;
    for (const vector of [
      new Float32Array(3),
      new Float32Array(MODEL.dimensions),
      new Float32Array(MODEL.dimensions).fill(Number.NaN),
    ]) {
      await cache.add(asked, vector, Buffer.from('x'), LONG_MS);
      expect(await cache.find(asked, vector, POLICY)).toEqual({ hit: undefined, guarded: undefined });
    }
    expect((await cache.stats()).entries).toBe(0);
  });
});

describe('what an index says', () => {
  /** One that hands out, and remembers, whatever it is told to. */
  function lying(entries: IndexEntry[], removed: string[]) {
    return (index: SemanticIndex): SemanticIndex => ({
      kind: 'memory',
      add: async (partition: Partition, entry: IndexEntry) => {
        entries.push(entry);
        await index.add(partition, entry);
      },
      nearest: async () => entries,
      remove: async (_partition, id) => void removed.push(id),
      size: async () => entries.length,
      purge: () => 0,
      [Symbol.asyncDispose]: async () => {},
    });
  }

  test('counts for nothing: what is near is told by what is sealed', async () => {
    const entries: IndexEntry[] = [];
    const { add, find } = world(lying(entries, []));
    await add('Write a long poem about the sea');
    expect((await find(PANCAKES))?.hit).toBeUndefined();
  });

  test('of another tenant opens nothing, and is removed', async () => {
    const entries: IndexEntry[] = [];
    const removed: string[] = [];
    const { add, find } = world(lying(entries, removed));
    await add(PANCAKES);
    expect((await find(PANCAKES))?.hit).toBeDefined();
    expect((await find(PANCAKES, { tenant: 'bolt' }))?.hit).toBeUndefined();
    expect(removed).toEqual([entries[0]?.id]);
  });

  test('is neither text nor vector of a prompt', async () => {
    const entries: IndexEntry[] = [];
    const { add } = world(lying(entries, []));
    const canary = 'zanzibar4711';
    await add(`How do I wire money to ${canary}?`, { scope: Buffer.from(canary) }, canary);
    const told = entries.map(({ id, sealed }) => `${id} ${sealed.toString('latin1')} ${sealed.toString('base64')}`).join();
    expect(told).not.toContain(canary);
    expect(told).not.toContain(Buffer.from(canary).toString('base64').slice(0, 12));
    const asked = vectorOf(`how do i wire money to ${canary}`);
    expect([...entries[0]!.vector].filter((value, i) => Math.abs(value - asked[i]!) < 1e-6).length).toBeLessThan(10);
  });
});

describe('a hit that is checked', () => {
  async function hit() {
    const all = world();
    await all.add(PANCAKES);
    const found = await all.find(SAME_PANCAKES);
    const check = (fresh: string | undefined) =>
      all.cache.check(found!.asked, found!.hit!, 'Flour, milk and eggs.', POLICY, async () => fresh);
    return { ...all, check };
  }

  test('and right stays, and is counted', async () => {
    const { check, cache, find, events } = await hit();
    await check('Eggs, milk and flour.');
    expect(await cache.stats()).toMatchObject({ checked: 1, falseHits: 0, stopped: 0 });
    expect(events).toEqual([{ type: 'semantic_checked', tenant: 'acme', same: true }]);
    expect((await find(SAME_PANCAKES))?.hit).toBeDefined();
  });

  test('and false is forgotten at once', async () => {
    const { check, cache, find } = await hit();
    await check('Call the fire brigade.');
    expect(await cache.stats()).toMatchObject({ checked: 1, falseHits: 1, stopped: 0 });
    expect((await find(SAME_PANCAKES))?.hit).toBeUndefined();
  });

  test('counts nothing where no fresh answer could be had', async () => {
    const { check, cache, events } = await hit();
    await check(undefined);
    expect(await cache.stats()).toMatchObject({ checked: 0, falseHitRateUpper: 1 });
    expect(events).toEqual([]);
  });

  test('and false too often stops the tenant’s reuse, tells so once, and goes on after a lift', async () => {
    const { check, cache, find, add, events } = await hit();
    for (let i = 0; i < 5; i++) await check('Call the fire brigade.');
    expect(events.filter(({ type }) => type === 'semantic_stopped')).toHaveLength(1);
    expect(events.at(-1)).not.toHaveProperty('text');
    await add(PANCAKES);
    expect(await find(SAME_PANCAKES)).toBeUndefined();
    await add(PANCAKES, { tenant: 'bolt' });
    expect((await find(SAME_PANCAKES, { tenant: 'bolt' }))?.hit).toBeDefined();
    expect((await cache.stats()).stopped).toBe(1);
    cache.lift('acme');
    await add(PANCAKES);
    expect((await find(SAME_PANCAKES))?.hit).toBeDefined();
  });

  test('does not check where a generation fails', async () => {
    const { cache, find } = await hit();
    const found = await find(SAME_PANCAKES);
    await cache.check(found!.asked, found!.hit!, 'x', POLICY, () => Promise.reject(new Error('no node')));
    expect((await cache.stats()).checked).toBe(0);
  });
});

describe('a purge', () => {
  test('is of a tenant’s prompts and no others', async () => {
    const { add, find, cache } = world();
    await add(PANCAKES);
    await add(PANCAKES, { tenant: 'bolt' });
    expect(cache.purge([`im1:s:${keyring.tagOf('acme')}:`])).toBe(1);
    expect((await find(PANCAKES))?.hit).toBeUndefined();
    expect((await find(PANCAKES, { tenant: 'bolt' }))?.hit).toBeDefined();
  });
});

describe('1,000 pairs of tenants with the same prompts', () => {
  test('find their own and never the other’s', async () => {
    const { add, find } = world();
    let crossings = 0;
    let own = 0;
    for (let pair = 0; pair < 1000; pair++) {
      const text = `What is the capital of country ${pair}?`;
      const [ours, theirs] = [`tenant-${pair}`, `other-${pair}`];
      await add(text, { tenant: ours }, `of ${ours}`);
      if ((await find(text, { tenant: theirs }))?.hit) crossings++;
      await add(text, { tenant: theirs }, `of ${theirs}`);
      for (const tenant of [ours, theirs]) {
        const answer = (await find(`Please tell me what the capital of country ${pair} is.`, { tenant }))?.answer;
        if (answer === `of ${tenant}`) own++;
        else if (answer !== undefined) crossings++;
      }
    }
    expect(crossings).toBe(0);
    expect(own).toBeGreaterThanOrEqual(1998);
  });
});
