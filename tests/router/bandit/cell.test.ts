import { describe, expect, it } from 'vitest';
import { Cell } from '../../../router/select/bandit/cell.ts';

describe('a cell', () => {
  it('forgets of the recent by half in 32 rewards, and of the rest nothing', () => {
    const cell = new Cell();
    cell.learn(1, 1, 1);
    for (let i = 0; i < 32; i++) cell.learn(0, 1, 1);
    expect(cell.recentSum).toBeCloseTo(0.5);
    expect(cell.sum).toBe(1);
    expect(cell.count).toBe(33);
  });

  it('fades by what rewards weigh: two halves are one', () => {
    const [halves, whole] = [new Cell(), new Cell()];
    for (const cell of [halves, whole]) cell.learn(1, 1, 1);
    halves.learn(0, 0.5, 0.5);
    halves.learn(0, 0.5, 0.5);
    whole.learn(0, 1, 1);
    expect(halves.recentSum).toBeCloseTo(whole.recentSum);
  });

  it('gives back what was learnt long ago as faded as it is by then', () => {
    const [taken, never] = [new Cell(), new Cell()];
    const mark = taken.learn(1, 1, 1);
    never.learn(0.25, 1, 1);
    const other = never.learn(0, 1, 1);
    taken.learn(0, 1, 1);
    for (const cell of [taken, never]) for (let i = 0; i < 20; i++) cell.learn(0.5, 1, 1);
    taken.unlearn(1, 1, mark);
    never.unlearn(0.25, 1, other - 1);
    expect(taken.figures()).toEqual(never.figures().map((figure = 0) => expect.closeTo(figure, 9)));
    expect(taken.recentSum / taken.recentCount).toBeLessThan(0.5);
  });

  it('is empty once all that it learnt is taken back', () => {
    const cell = new Cell();
    const marks = [0.1, 0.7, 0.2].map((residual) => [residual, cell.learn(residual, 0.3, 0.3)] as const);
    for (const [residual, mark] of marks) cell.unlearn(residual, 0.3, mark);
    expect(cell.figures()).toEqual([0, 0, 0, 0, 0]);
  });
});
