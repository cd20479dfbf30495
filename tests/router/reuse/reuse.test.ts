import { beforeEach, describe, expect, it } from 'vitest';
import { Fault } from '../../../proto/contract/faults.ts';
import { CachedAnswer } from '../../../proto/gen/infermesh/v1/cache.ts';
import { CacheMode } from '../../../proto/gen/infermesh/v1/inference.ts';
import { piece } from './fakes.ts';
import { ReuseWorld, settled } from './world.ts';

let world: ReuseWorld;
beforeEach(async () => {
  world = await ReuseWorld.open();
});

const ONLY = { cache: { mode: CacheMode.CACHE_MODE_ONLY_IF_CACHED, paced: false } };
const REFRESH = { cache: { mode: CacheMode.CACHE_MODE_REFRESH, paced: false } };
const SEMANTIC = { cache: { mode: CacheMode.CACHE_MODE_UNSPECIFIED, paced: false, semantic: true } };
const GONE = new Fault('CANCELLED', 'gone');

describe('equal requests', () => {
  it('are one generation, and whoever comes later has it from memory', async () => {
    const [first, second] = [world.ask(), world.ask()];
    await settled();
    expect(world.generations).toHaveLength(1);
    world.generation.finishes();
    expect([await first.over, await second.over]).toEqual([undefined, undefined]);
    const third = world.ask();
    expect(await third.over).toBeUndefined();
    expect(world.generations).toHaveLength(1);
    expect([first, second, third].map(({ client }) => client.events)).toEqual(Array(3).fill(['started', '<0>', 'finished']));
    expect(world.clock.pending).toBe(0);
  });

  it('are not equal where one wishes for something else of whoever answers, by name or not', async () => {
    const model = { target: { $case: 'model', value: 'm' } } as const;
    for (const target of [model, {}]) {
      world = await ReuseWorld.open();
      const all = [{}, { limits: { maxCostUsd: 1 } }, { zones: ['eu'] }, { withoutExploration: true }].map((wish) =>
        world.ask({ ...target, ...wish }, { policy: wish }),
      );
      await settled();
      expect(world.generations).toHaveLength(all.length);
      for (const generation of world.generations) generation.finishes();
      for (const { over } of all) expect(await over).toBeUndefined();
    }
  });

  it('go on when the time of the one that leads is up, without a break, and end with the last of them', async () => {
    const leader = world.ask({}, { deadlineMs: 100 });
    await settled();
    const follower = world.ask({}, { deadlineMs: 500 });
    await settled();
    world.clock.advance(100);
    expect(await Promise.race([leader.over, settled()])).toBeUndefined();
    expect(leader.client.fault?.reason).toBe('DEADLINE_EXCEEDED');
    expect(world.generations.map(({ isCut }) => isCut)).toEqual([false]);
    world.clock.advance(400);
    expect(world.generation.isCut).toBe(true);
    for (const { over } of [leader, follower]) expect(await over).toMatchObject({ reason: 'DEADLINE_EXCEEDED' });
    expect(world.clock.pending).toBe(0);
  });

  it('that all end at once, with their leader, begin no generation that nobody reads', async () => {
    const leader = world.ask();
    await settled();
    const all = [leader, world.ask(), world.ask()];
    await settled();
    world.abort(new Fault('DRAINING', 'the router is shutting down'));
    await settled();
    expect(world.generations.map(({ isCut }) => isCut)).toEqual([true]);
    for (const { over } of all) expect(await over).toMatchObject({ reason: 'DRAINING' });
  });

  it('of which one wants nothing but what is there: it reads along, and nothing is generated for it', async () => {
    const leader = world.ask();
    await settled();
    const [only, other] = [world.ask(ONLY, { deadlineMs: 9000 }), world.ask({}, { deadlineMs: 5000 })];
    await settled();
    world.generation.gives(2);
    world.generation.result.reject(GONE);
    await settled();
    expect(await leader.over).toMatchObject({ reason: 'CANCELLED' });
    expect(await only.over).toMatchObject({ reason: 'NOT_CACHED' });
    expect(world.generations).toHaveLength(2);
    expect(world.generation.trip).toBe(other.trip);
    world.generation.finishes();
    expect(await other.over).toBeUndefined();
  });
});

describe('of a quota of requests', () => {
  const QUOTA = { requestsPerMinute: 3 };

  it('a request takes one, also when it follows another and then leads', async () => {
    world = await ReuseWorld.open(QUOTA);
    const leader = world.ask();
    await settled();
    const follower = world.ask();
    await settled();
    world.generation.result.reject(GONE);
    await settled();
    world.generation.finishes();
    expect([(await leader.over)?.reason, await follower.over]).toEqual(['CANCELLED', undefined]);
    expect(await world.ask().over).toBeUndefined();
    expect(await world.ask().over).toMatchObject({ reason: 'QUOTA_EXCEEDED' });
    expect(world.quotas.streams('tenant')).toBe(0);
  });

  it('an answer to another prompt that means the same takes one, as any that is found', async () => {
    const answer = CachedAnswer.fromPartial({ requestId: 'other', model: 'm', deltas: piece(0) });
    world = await ReuseWorld.open(QUOTA, answer);
    const asked = [1, 2, 3, 4].map(() => world.ask(SEMANTIC));
    const reasons = await Promise.all(asked.map(async ({ over }) => (await over)?.reason));
    expect(reasons.toSorted()).toEqual(['QUOTA_EXCEEDED', undefined, undefined, undefined]);
    expect((await world.ask(SEMANTIC).over)?.reason).toBe('QUOTA_EXCEEDED');
    expect(world.generations).toHaveLength(0);
    expect(world.quotas.streams('tenant')).toBe(0);
  });

  it('one that refreshes an answer takes one, also while an equal request is answered', async () => {
    world = await ReuseWorld.open(QUOTA);
    const leader = world.ask();
    await settled();
    const refreshed = world.ask(REFRESH);
    await settled();
    expect(world.generations).toHaveLength(2);
    for (const generation of world.generations) generation.finishes();
    expect([await leader.over, await refreshed.over]).toEqual([undefined, undefined]);
    expect(await world.ask().over).toBeUndefined();
  });
});

it('an answer of a model that the policy no longer allows is not given, also where the request names it', async () => {
  const named = { target: { $case: 'model', value: 'm' } } as const;
  const first = world.ask(named);
  await settled();
  world.generation.finishes();
  await first.over;
  for (const policy of [{ deny: ['m'] }, { models: ['other'] }]) {
    expect(await world.ask({ ...named, ...ONLY }, { policy }).over).toMatchObject({ reason: 'NOT_CACHED' });
  }
  expect(await world.ask({ ...named, ...ONLY }).over).toBeUndefined();
});

it('what is found and what is not is counted once for each request', async () => {
  const counts = () => {
    const [answers] = world.cache.stats().layers;
    return { hitsMemory: answers?.hitsMemory, misses: answers?.misses };
  };
  const first = world.ask();
  await settled();
  expect(counts()).toEqual({ hitsMemory: 0, misses: 1 });
  world.generation.finishes();
  await first.over;
  await world.ask().over;
  expect(counts()).toEqual({ hitsMemory: 1, misses: 1 });
});
