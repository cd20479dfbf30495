import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HedgeBudget, RetryBudget } from '../../../router/patience/budget.ts';
import { FakeClock } from '../../support/clock.ts';

describe('the budget for retries', () => {
  it('gives three at once to a router with little to do, and a fifth of the active requests to a busy one', () => {
    const takeAll = (active: number) => {
      const budget = new RetryBudget();
      while (budget.tryTake(active));
      return budget.taken;
    };
    expect([0, 1, 15, 19, 20, 100, 1004].map(takeAll)).toEqual([3, 3, 3, 3, 4, 20, 200]);
  });

  it('is never exceeded, takes each back once, and comes to nothing in the end, whatever happens', () => {
    const step = fc.oneof(
      fc.record({ take: fc.integer({ min: 0, max: 60 }) }),
      fc.record({ giveBack: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), twice: fc.boolean() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const budget = new RetryBudget();
        const held: Disposable[] = [];
        for (const one of steps) {
          if ('take' in one) {
            const most = Math.max(3, Math.floor(one.take / 5));
            const retry = budget.tryTake(one.take);
            expect(retry !== undefined).toBe(held.length < most);
            if (retry) held.push(retry);
          } else {
            const [retry] = held.splice(Math.floor(one.giveBack * held.length), 1);
            retry?.[Symbol.dispose]();
            if (one.twice) retry?.[Symbol.dispose]();
          }
          expect(budget.taken).toBe(held.length);
        }
        for (const retry of held) retry[Symbol.dispose]();
        expect(budget.taken).toBe(0);
      }),
    );
  });
});

describe('the budget for hedges', () => {
  const requests = (budget: HedgeBudget, count: number) => {
    for (let n = 0; n < count; n++) budget.request();
  };
  const takeAll = (budget: HedgeBudget) => {
    let taken = 0;
    while (budget.tryTake(false)) taken++;
    return taken;
  };

  it('gives one for every 50 requests of the last minute', () => {
    const clock = new FakeClock();
    const budget = new HedgeBudget(clock);
    requests(budget, 49);
    expect(takeAll(budget)).toBe(0);
    requests(budget, 101);
    expect(takeAll(budget)).toBe(3);
    clock.advance(30_000);
    requests(budget, 50);
    expect(takeAll(budget)).toBe(1);
    clock.advance(40_000);
    expect(takeAll(budget)).toBe(0);
    requests(budget, 50);
    expect(takeAll(budget)).toBe(1);
    clock.advance(3_600_000);
    expect(takeAll(budget)).toBe(0);
  });

  it('gives none while the mesh is loaded', () => {
    const budget = new HedgeBudget(new FakeClock());
    requests(budget, 1000);
    expect(budget.tryTake(true)).toBe(false);
    expect(budget.tryTake(false)).toBe(true);
  });

  it('never lets a minute have more hedges than 2 % of the requests of the minute before each, wherever it begins', () => {
    const step = fc.record({
      passedMs: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 30_000 })),
      requests: fc.integer({ min: 0, max: 120 }),
      hedges: fc.integer({ min: 0, max: 5 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const clock = new FakeClock();
        const budget = new HedgeBudget(clock);
        const came: number[] = [];
        const hedged: number[] = [];
        for (const { passedMs, requests, hedges } of steps) {
          clock.advance(passedMs);
          for (let n = 0; n < requests; n++) {
            budget.request();
            came.push(clock.now());
          }
          for (let n = 0; n < hedges; n++) {
            if (!budget.tryTake(false)) continue;
            hedged.push(clock.now());
            const lately = (at: number) => at > clock.now() - 60_000;
            expect(hedged.filter(lately).length).toBeLessThanOrEqual(0.02 * came.filter(lately).length);
          }
        }
      }),
    );
  });
});
