import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { Bandit } from '../../../router/select/bandit/bandit.ts';
import type { Lesson } from '../../../router/select/bandit/memory.ts';
import { readPart } from '../../../router/select/bandit/parts.ts';
import { Pool } from '../../../router/select/bandit/pool.ts';
import { Shares } from '../../../router/select/bandit/shares.ts';
import { writeSnapshot } from '../../../router/select/bandit/snapshot.ts';
import { TimeFrame } from '../../../router/select/bandit/time-frame.ts';
import type { Taught } from './worlds.ts';
import {
  arms,
  banditOf,
  contexts,
  DAY,
  figuresIn,
  HOUR,
  histories,
  LARGE,
  LAW,
  NOW,
  repeat,
  SMALL,
  taught,
  teach,
} from './worlds.ts';

const OPTIONS = { halfLifeMs: 7 * DAY, shareHalfLifeMs: HOUR, maxArms: 512, maxContexts: 8192 };

function poolOf(history: readonly Taught[] = []) {
  const pool = new Pool(new TimeFrame(OPTIONS.halfLifeMs), OPTIONS);
  for (const { arm, context, prior, reward, weight, at } of history) pool.learn(arm, context, prior, reward, weight, at);
  return pool;
}

/** Everything in the view, by path. */
const viewOf = (pool: Pool) => figuresIn(writeSnapshot(pool.view, new Shares(new TimeFrame(HOUR), 1)));

function hear(pool: Pool, by: string, from: Bandit): void {
  for (const name of from.partNames) {
    const read = readPart(name, JSON.parse(JSON.stringify(from.part(name))), OPTIONS, NOW);
    if (read?.kind === 'arm') expect(pool.heedArm(by, read.arm.model, read, NOW)).toBe(true);
    else if (read?.kind === 'folded') pool.heedFolded(by, read, NOW);
  }
}

function expectClose(one: ReadonlyMap<string, number>, other: ReadonlyMap<string, number>, only = /./): void {
  for (const name of new Set([...one.keys(), ...other.keys()])) {
    if (only.test(name)) expect(one.get(name) ?? 0, name).toBeCloseTo(other.get(name) ?? 0, 6);
  }
}

/** Places 0 to 2 of a cell: the long memory, in which order does not count. */
const LONG = /\/[0-2]$/;

test('what others learnt adds to the own, as if one had learnt it all', () => {
  fc.assert(
    fc.property(histories, histories, histories, (a, b, c) => {
      const pool = poolOf(a);
      hear(pool, 'b', banditOf(b));
      hear(pool, 'c', banditOf(c));
      const whole = banditOf([...a, ...b, ...c]);
      const moved =
        (whole.snapshot().reference ?? 0) - (Number.isFinite(pool.view.frame.reference) ? pool.view.frame.reference : 0);
      expect(moved).toBe(0);
      expectClose(viewOf(pool), figuresIn({ ...whole.snapshot(), shares: {} }), LONG);
    }),
    { numRuns: 60 },
  );
});

test('hearing of another twice, late or in another order comes to the same, to the last digit', () => {
  fc.assert(
    fc.property(histories, histories, histories, taught, fc.shuffledSubarray([0, 1, 2, 3, 0, 2, 3]), (a, b, c, more, order) => {
      const [earlier, later, third] = [banditOf(b), banditOf([...b, more]), banditOf(c)];
      const all: [string, Bandit][] = [
        ['b', earlier],
        ['b', later],
        ['c', third],
        ['c', third],
      ];
      const [straight, crooked] = [poolOf(a), poolOf(a)];
      for (const [by, from] of [all[1], all[2]] as typeof all) hear(straight, by, from);
      // Which of two copies is the newer one, its versions tell; the last to be heard here is.
      for (const n of order) hear(crooked, ...(all[n] as (typeof all)[number]));
      for (const [by, from] of [all[2], all[1]] as typeof all) hear(crooked, by, from);
      expect(viewOf(crooked)).toEqual(viewOf(straight));
    }),
    { numRuns: 60 },
  );
});

test('after each lesson, learnt or taken back, the view is what it would be if it were made anew', () => {
  const steps = fc.array(fc.oneof(taught, fc.nat()), { maxLength: 30 });
  fc.assert(
    fc.property(histories, histories, steps, (own, theirs, next) => {
      const pool = poolOf(own);
      hear(pool, 'other', banditOf(theirs));
      const lessons: Lesson[] = [];
      for (const step of next) {
        if (typeof step === 'number') {
          const [lesson] = lessons.splice(step % Math.max(1, lessons.length), 1);
          if (lesson) pool.unlearn(lesson);
        } else lessons.push(pool.learn(step.arm, step.context, step.prior, step.reward, step.weight, step.at));
        const patched = viewOf(pool);
        pool.renew(NOW);
        expectClose(patched, viewOf(pool), LONG);
      }
    }),
    { numRuns: 60 },
  );
});

test('what another takes back is gone, and nothing of it stays', () => {
  fc.assert(
    fc.property(histories, histories, arms, contexts, (before, theirs, arm, context) => {
      // In the frame of time that is the latest, whoever is heard.
      const own = [...before, { arm: LARGE, context: LAW, prior: 0.5, reward: 0.5, weight: 0.5, at: NOW }];
      const [alone, listener, other] = [banditOf(own), banditOf(own), banditOf(theirs)];
      for (const name of other.partNames) listener.heed('other', name, other.part(name), NOW);
      for (const name of other.partNames) listener.heed('other', name, undefined, NOW);
      const [mean, sd] = Object.values(alone.belief(arm, context, 0.5, NOW)) as [number, number];
      expect(listener.belief(arm, context, 0.5, NOW).mean).toBeCloseTo(mean, 9);
      expect(listener.belief(arm, context, 0.5, NOW).sd).toBeCloseTo(sd, 9);
      expect(listener.share(arm, context, NOW)).toBeCloseTo(alone.share(arm, context, NOW), 9);
    }),
    { numRuns: 60 },
  );
});

describe('recent rewards', () => {
  const heed = (bandit: Bandit, by: string, other: Bandit) => {
    for (const name of other.partNames) bandit.heed(by, name, other.part(name), NOW);
  };
  const mean = (bandit: Bandit) => bandit.belief(SMALL, LAW, 0.5, NOW).mean;

  it('of a router that is idle, or gone, fade as others learn: a change is seen as soon as by one that learnt it all', () => {
    const past = new Bandit();
    repeat(past, SMALL, LAW, 0.9, 400, NOW - HOUR);
    const [alone, present] = [Bandit.restore(past.snapshot()), new Bandit()];
    heed(present, 'past', past);
    for (const bandit of [alone, present]) repeat(bandit, SMALL, LAW, 0.2, 80);
    expect(mean(alone)).toBeLessThan(0.35);
    expect(mean(present)).toBeCloseTo(mean(alone), 1);
  });

  it('of two that learn at the same time tell of a change together', () => {
    const [one, other] = [new Bandit(), new Bandit()];
    repeat(one, SMALL, LAW, 0.9, 400, NOW - HOUR);
    heed(other, 'one', one);
    for (let i = 0; i < 20; i++) {
      repeat(one, SMALL, LAW, 0.2, 2);
      repeat(other, SMALL, LAW, 0.2, 2);
      heed(one, 'other', other);
      heed(other, 'one', one);
    }
    const alone = new Bandit();
    repeat(alone, SMALL, LAW, 0.9, 400, NOW - HOUR);
    repeat(alone, SMALL, LAW, 0.2, 80);
    expect(mean(one)).toBeCloseTo(mean(alone), 1);
    expect(mean(other)).toBeCloseTo(mean(one), 2);
  });
});

describe('a part', () => {
  it('is told of once after each change', () => {
    const bandit = new Bandit();
    teach(bandit, { arm: SMALL, context: LAW, prior: 0.5, reward: 1, weight: 1, at: NOW });
    expect(bandit.takeChanges().toSorted()).toEqual(['arm:small', 'shares']);
    expect(bandit.takeChanges()).toEqual([]);
    const lesson = bandit.learn(LARGE, LAW, 0.5, 1, 1, NOW);
    bandit.takeChanges();
    bandit.unlearn(lesson);
    expect(bandit.takeChanges()).toEqual(['arm:large']);
    expect(bandit.partNames.toSorted()).toEqual(['arm:large', 'arm:small', 'shares']);
  });

  it('of arms that are folded moves: the arm goes, and its tier has it', () => {
    const bandit = new Bandit({ maxArms: 2 });
    bandit.learn(SMALL, LAW, 0.5, 0, 1, NOW);
    for (const model of ['a', 'b']) repeat(bandit, { model, tier: 2 }, LAW, 0.5, 20);
    expect(bandit.takeChanges()).toEqual(expect.arrayContaining(['arm:small', 'folded']));
    expect(bandit.part('arm:small')).toBeUndefined();
    expect(bandit.part('folded')?.folded.map(({ tier }) => tier)).toContain(1);
    const listener = new Bandit();
    for (const name of bandit.partNames) expect(listener.heed('other', name, bandit.part(name), NOW)).toBe(true);
    expect(listener.belief({ model: 'new', tier: 1 }, LAW, 0.5, NOW)).toEqual(
      bandit.belief({ model: 'new', tier: 1 }, LAW, 0.5, NOW),
    );
  });

  it.each([
    ['of another name', 'arm:other', {}],
    ['without a name', 'arm:', {}],
    ['of no kind', 'something', {}],
    ['of a time that has not come', 'arm:small', { reference: Math.floor(NOW / (7 * DAY)) + 2 }],
    ['of another version', 'arm:small', { version: 2 }],
  ])('%s is not heeded', (_what, name, changes) => {
    const other = new Bandit();
    repeat(other, SMALL, LAW, 0.9, 40);
    const listener = new Bandit();
    expect(listener.heed('other', name, { ...other.part('arm:small'), ...changes }, NOW)).toBe(false);
    expect(listener.belief(SMALL, LAW, 0.5, NOW)).toEqual(new Bandit().belief(SMALL, LAW, 0.5, NOW));
  });

  it('of one arm too many is not heeded', () => {
    const listener = new Bandit({ maxArms: 2 });
    const heard = ['a', 'b', 'c'].map((model) => {
      const other = new Bandit();
      repeat(other, { model, tier: 1 }, LAW, 0.9, 2);
      return listener.heed('other', `arm:${model}`, other.part(`arm:${model}`), NOW);
    });
    expect(heard).toEqual([true, true, false]);
  });
});
