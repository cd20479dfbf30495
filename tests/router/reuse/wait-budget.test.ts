import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { WaitBudget } from '../../../router/reuse/wait-budget.ts';
import { FakeClock } from '../../support/clock.ts';

describe('a wait for what would only make a request faster', () => {
  it('ends with its answer, or when all waits of the request together took 40 ms', async () => {
    const clock = new FakeClock();
    const budget = new WaitBudget(clock);
    const first = Promise.withResolvers<string>();
    const waited = budget.within(() => first.promise);
    clock.advance(30);
    first.resolve('in time');
    expect(await waited).toBe('in time');

    const second = Promise.withResolvers<string>();
    const late: string[] = [];
    const given = budget.within(
      () => second.promise,
      (answer) => late.push(answer),
    );
    clock.advance(10);
    await turn();
    expect(await given).toBeUndefined();
    expect(late).toEqual([]);
    second.resolve('too late');
    await second.promise;
    await Promise.resolve();
    expect(late).toEqual(['too late']);
    expect(await budget.within(() => Promise.reject(new Error('is not asked any more')))).toBeUndefined();
    expect(clock.pending).toBe(0);
  });

  it('does not count the time in which this process stood still', async () => {
    const clock = new FakeClock();
    const budget = new WaitBudget(clock);
    for (let n = 0; n < 3; n++) {
      const answer = Promise.withResolvers<number>();
      const given = budget.within(() => answer.promise);
      clock.jump(200);
      // It was there before anybody got to look at the time.
      answer.resolve(n);
      expect(await given).toBe(n);
    }
  });
});
