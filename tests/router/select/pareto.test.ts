import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crowding, dominates, nonDominated } from '../../../router/select/pareto.ts';

/** Rows of one length, from few values, so that ties and equal rows are common. */
const rows = fc
  .integer({ min: 1, max: 5 })
  .chain((width) =>
    fc.array(fc.array(fc.integer({ min: 0, max: 6 }), { minLength: width, maxLength: width }), { maxLength: 40 }),
  );
const columnsOf = (all: readonly (readonly number[])[]) => (all[0] ?? [0]).map((_, c) => all.map((row) => row[c] as number));

function bruteForce(all: readonly (readonly number[])[]): number[] {
  const better = (a: readonly number[], b: readonly number[]) =>
    a.every((value, i) => value <= (b[i] as number)) && a.some((value, i) => value < (b[i] as number));
  return [...all.keys()].filter((i) => !all.some((other) => better(other, all[i] as number[])));
}

describe('the front', () => {
  it('is what comparing everyone with everyone leaves, for any number of objectives', () => {
    fc.assert(
      fc.property(rows, (all) => {
        expect(nonDominated(columnsOf(all), [...all.keys()])).toEqual(bruteForce(all));
      }),
      { numRuns: 2000 },
    );
  });

  it('has somebody at least as good for everyone who is not on it', () => {
    fc.assert(
      fc.property(rows, (all) => {
        const columns = columnsOf(all);
        const front = new Set(nonDominated(columns, [...all.keys()]));
        for (const i of all.keys()) {
          expect(front.has(i) || [...front].some((other) => dominates(columns, other, i))).toBe(true);
        }
      }),
    );
  });

  it('keeps equal points together', () => {
    expect(
      nonDominated(
        [
          [1, 1, 2, 1],
          [2, 2, 1, 3],
        ],
        [0, 1, 2, 3],
      ),
    ).toEqual([0, 1, 2]);
    expect(
      nonDominated(
        [
          [1, 1],
          [1, 1],
          [1, 1],
        ],
        [0, 1],
      ),
    ).toEqual([0, 1]);
  });

  it('is found among the points named only', () => {
    expect(
      nonDominated(
        [
          [1, 2, 3],
          [1, 2, 1],
        ],
        [1, 2],
      ),
    ).toEqual([1, 2]);
  });
});

describe('crowding', () => {
  it('is the mean side of the box between the neighbours, and 1 at the ends', () => {
    const columns = [
      [0, 1, 4, 10],
      [10, 5, 4, 0],
    ];
    const [first, second, third, last] = crowding(columns, [0, 1, 2, 3]);
    expect([first, last]).toEqual([1, 1]);
    expect(second).toBeCloseTo((4 / 10 + 6 / 10) / 2);
    expect(third).toBeCloseTo((9 / 10 + 5 / 10) / 2);
  });

  it('is from 0 to 1, and 1 for a front of one', () => {
    fc.assert(
      fc.property(rows, (all) => {
        const columns = columnsOf(all);
        for (const one of crowding(columns, nonDominated(columns, [...all.keys()]))) {
          expect(one).toBeGreaterThanOrEqual(0);
          expect(one).toBeLessThanOrEqual(1);
        }
      }),
    );
    expect(crowding([[3]], [0])).toEqual([1]);
  });
});
