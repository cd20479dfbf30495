import { describe, expect, it } from 'vitest';
import { Bandit } from '../../../router/select/bandit/bandit.ts';
import type { Arm, Context } from '../../../router/select/belief.ts';
import { seeded } from '../../support/clock.ts';
import { CODE, DAY, HOUR, LARGE, LAW, NOW, repeat, SIBLING, SMALL } from './worlds.ts';

const believed = (bandit: Bandit, arm: Arm = SMALL, context: Context = LAW, now = NOW) => bandit.belief(arm, context, 0.5, now);

describe('a belief', () => {
  it('is the prior before any reward, and as unsure as the options say', () => {
    const { mean, sd } = new Bandit({ priorSd: 0.2 }).belief(SMALL, LAW, 0.7, NOW);
    expect(mean).toBeCloseTo(0.7);
    expect(sd).toBeCloseTo(0.2);
  });

  it('comes to what the rewards are', () => {
    const bandit = new Bandit();
    repeat(bandit, SMALL, LAW, 0.9, 300);
    expect(believed(bandit).mean).toBeCloseTo(0.9, 1);
  });

  it('moves with the prior: what is learnt is how far rewards lie from it', () => {
    const bandit = new Bandit();
    repeat(bandit, SMALL, LAW, 0.3, 300);
    const learnt = believed(bandit).mean - 0.5;
    expect(bandit.belief(SMALL, LAW, 0.8, NOW).mean - 0.8).toBeCloseTo(learnt, 6);
    expect(learnt).toBeLessThan(-0.15);
  });

  it('stays within 0 and 1 and is never certain', () => {
    const bandit = new Bandit();
    repeat(bandit, SMALL, LAW, 1, 1000);
    const { mean, sd } = bandit.belief(SMALL, LAW, 0.99, NOW);
    expect(mean).toBeLessThanOrEqual(1);
    expect(sd).toBeGreaterThan(0);
  });

  it('of a context never seen is borrowed from those that share its domain, task or complexity', () => {
    const bandit = new Bandit();
    repeat(bandit, SMALL, LAW, 0.1, 200);
    repeat(bandit, SMALL, CODE, 0.9, 200);
    const lawLike: Context = { domain: 'law', complexity: 'complex', task: 'summary' };
    const codeLike: Context = { domain: 'computing', complexity: 'complex', task: 'summary' };
    expect(believed(bandit, SMALL, lawLike).mean).toBeLessThan(believed(bandit, SMALL, codeLike).mean - 0.05);
    expect(believed(bandit, SMALL, lawLike).sd).toBeGreaterThan(believed(bandit, SMALL, LAW).sd);
  });

  it('of a model never tried is borrowed from its tier, and from no other', () => {
    const bandit = new Bandit();
    repeat(bandit, SMALL, LAW, 0.1, 200);
    expect(believed(bandit, SIBLING).mean).toBeLessThan(0.45);
    expect(believed(bandit, SIBLING).mean).toBeGreaterThan(believed(bandit, SMALL).mean);
    expect(believed(bandit, LARGE).mean).toBeCloseTo(0.5);
  });

  it('is surer where rewards scatter less', () => {
    const [steady, wild] = [new Bandit(), new Bandit()];
    for (let i = 0; i < 200; i++) {
      steady.learn(SMALL, LAW, 0.5, 0.5 + 0.01 * (i % 2), 1, NOW);
      wild.learn(SMALL, LAW, 0.5, i % 2, 1, NOW);
    }
    expect(believed(steady).sd).toBeLessThan(believed(wild).sd / 2);
  });

  it('fades with time, towards the prior and doubt', () => {
    const bandit = new Bandit();
    repeat(bandit, SMALL, LAW, 0.9, 50);
    const [soon, late] = [believed(bandit), believed(bandit, SMALL, LAW, NOW + 60 * DAY)];
    expect(late.mean).toBeLessThan(soon.mean);
    expect(late.sd).toBeGreaterThan(soon.sd);
  });

  it('follows a model that changed within some dozens of rewards, whatever came before', () => {
    const bandit = new Bandit();
    repeat(bandit, SMALL, LAW, 0.9, 3000, NOW - HOUR);
    repeat(bandit, SMALL, LAW, 0.2, 60);
    expect(believed(bandit).mean).toBeLessThan(0.5);
  });

  it('does not follow chance', () => {
    const bandit = new Bandit();
    const random = seeded(1);
    let furthest = 0;
    for (let i = 0; i < 3000; i++) {
      bandit.learn(SMALL, LAW, 0.5, Number(random() < 0.7), 1, NOW);
      if (i > 500) furthest = Math.max(furthest, Math.abs(believed(bandit).mean - 0.7));
    }
    expect(furthest).toBeLessThan(0.15);
  });
});

describe('a reward', () => {
  it('moves less the less it weighs', () => {
    const [half, full] = [new Bandit(), new Bandit()];
    half.learn(SMALL, LAW, 0.5, 1, 0.5, NOW);
    full.learn(SMALL, LAW, 0.5, 1, 1, NOW);
    expect(believed(half).mean).toBeGreaterThan(0.5);
    expect(believed(half).mean).toBeLessThan(believed(full).mean);
  });

  it('that is revised counts as if it had come so at first', () => {
    const [revised, straight] = [new Bandit(), new Bandit()];
    const lesson = revised.learn(SMALL, LAW, 0.5, 0, 0.2, NOW);
    revised.revise(lesson, 1, 1);
    straight.learn(SMALL, LAW, 0.5, 1, 1, NOW);
    expect(believed(revised).mean).toBeCloseTo(believed(straight).mean, 9);
    expect(believed(revised).sd).toBeCloseTo(believed(straight).sd, 9);
  });

  it.each([
    ['prior', [-0.1, 0.5, 1, NOW]],
    ['reward', [0.5, 1.1, 1, NOW]],
    ['reward', [0.5, Number.NaN, 1, NOW]],
    ['weight', [0.5, 0.5, 0, NOW]],
    ['at', [0.5, 0.5, 1, Number.POSITIVE_INFINITY]],
  ] as const)('with a wrong %s is refused by name', (name, [prior, reward, weight, at]) => {
    expect(() => new Bandit().learn(SMALL, LAW, prior, reward, weight, at)).toThrow(new RegExp(`^${name} must be from`));
  });
});

describe('shares', () => {
  it('are of the like requests that were lately served', () => {
    const bandit = new Bandit();
    expect(bandit.share(SMALL, LAW, NOW)).toBe(0);
    for (let i = 0; i < 100; i++) bandit.served(i % 4 === 0 ? SMALL : LARGE, LAW, NOW);
    for (let i = 0; i < 100; i++) bandit.served(SMALL, CODE, NOW);
    expect(bandit.share(SMALL, LAW, NOW)).toBeCloseTo(0.25, 1);
    expect(bandit.share(SMALL, CODE, NOW)).toBeGreaterThan(0.9);
    expect(bandit.share(SMALL, LAW, NOW) + bandit.share(LARGE, LAW, NOW)).toBeCloseTo(1);
  });

  it('forget what was long ago', () => {
    const bandit = new Bandit();
    for (let i = 0; i < 100; i++) bandit.served(SMALL, LAW, NOW);
    for (let i = 0; i < 100; i++) bandit.served(LARGE, LAW, NOW + 10 * HOUR);
    expect(bandit.share(SMALL, LAW, NOW + 10 * HOUR)).toBeLessThan(0.01);
  });
});

describe('memory', () => {
  it('is bounded: the least used contexts are folded into their arm', () => {
    const bandit = new Bandit({ maxContexts: 16 });
    const domains = ['law', 'medicine', 'maths', 'history'] as const;
    const tasks = ['question', 'choice', 'code', 'chat', 'summary'] as const;
    repeat(bandit, SMALL, LAW, 0.9, 50);
    for (const domain of domains)
      for (const task of tasks) bandit.learn(SMALL, { domain, task, complexity: 'complex' }, 0.5, 0.2, 1, NOW);
    const [arm] = bandit.snapshot().arms;
    expect(Object.keys(arm?.contexts ?? {}).length).toBeLessThanOrEqual(16);
    expect(arm?.contexts['law/simple/question']?.[0]).toBeGreaterThan(40);
    expect(arm?.axes['task:summary']?.[0]).toBeGreaterThan(3);
  });

  it('is bounded: the least used arms are folded into their tier, which still knows', () => {
    const bandit = new Bandit({ maxArms: 8 });
    for (let i = 0; i < 30; i++) repeat(bandit, { model: `m${i}`, tier: 1 }, LAW, 0.1, 20);
    expect(bandit.snapshot().arms.length).toBeLessThanOrEqual(8);
    expect(bandit.snapshot().folded[0]?.total[0]).toBeGreaterThan(400);
    expect(believed(bandit, { model: 'new', tier: 1 }).mean).toBeLessThan(0.45);
  });

  it('takes back a lesson also of an arm that was folded', () => {
    const bandit = new Bandit({ maxArms: 2 });
    const lesson = bandit.learn(SMALL, LAW, 0.5, 0, 1, NOW);
    for (const model of ['a', 'b', 'c', 'd']) repeat(bandit, { model, tier: 2 }, LAW, 0.5, 20);
    expect(bandit.snapshot().arms.map(({ model }) => model)).not.toContain(SMALL.model);
    bandit.unlearn(lesson);
    expect(bandit.snapshot().folded.find(({ tier }) => tier === SMALL.tier)?.total[0]).toBe(0);
  });
});

it('options out of their bounds are refused by name', () => {
  expect(() => new Bandit({ priorSd: 0 })).toThrow(/^priorSd must be from 0.001 to 0.5, received 0/);
  expect(() => new Bandit({ halfLifeMs: Number.NaN })).toThrow(/^halfLifeMs/);
});
