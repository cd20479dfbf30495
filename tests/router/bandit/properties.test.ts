import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Bandit } from '../../../router/select/bandit/bandit.ts';
import { arms, banditOf, contexts, DAY, figuresIn, histories, LAW, NOW, SMALL, taught, teach } from './worlds.ts';

function expectSame(one: Bandit, other: Bandit): void {
  const [left, right] = [figuresIn(one.snapshot()), figuresIn(other.snapshot())];
  for (const name of new Set([...left.keys(), ...right.keys()])) {
    expect(left.get(name) ?? 0, name).toBeCloseTo(right.get(name) ?? 0, 7);
  }
}

const merged = (...parts: readonly Bandit[]) => {
  const all = new Bandit();
  for (const part of parts) all.merge(part);
  return all;
};

test('merging is commutative and associative, and so are the beliefs', () => {
  fc.assert(
    fc.property(histories, histories, histories, arms, contexts, (a, b, c, arm, context) => {
      const [one, two, three] = [banditOf(a), banditOf(b), banditOf(c)];
      const orders = [merged(one, two, three), merged(three, two, one), merged(one, merged(two, three))];
      const [first, ...others] = orders as [Bandit, ...Bandit[]];
      for (const other of others) {
        expectSame(first, other);
        const [left, right] = [first.belief(arm, context, 0.5, NOW), other.belief(arm, context, 0.5, NOW)];
        expect(left.mean).toBeCloseTo(right.mean, 6);
        expect(left.sd).toBeCloseTo(right.sd, 6);
        expect(first.share(arm, context, NOW)).toBeCloseTo(other.share(arm, context, NOW), 6);
      }
    }),
    { numRuns: 60 },
  );
});

test('merging what two learnt apart gives the long memory of one that learnt both', () => {
  fc.assert(
    fc.property(histories, histories, (a, b) => {
      const together = figuresIn(banditOf([...a, ...b]).snapshot());
      for (const [name, value] of figuresIn(merged(banditOf(a), banditOf(b)).snapshot())) {
        // Places 3 and 4 of a cell are its recent memory, in which order counts.
        if (!/\/[34]$/.test(name)) expect(value, name).toBeCloseTo(together.get(name) ?? Number.NaN, 7);
      }
    }),
  );
});

test('what is restored is the same, also after a trip through JSON', () => {
  fc.assert(
    fc.property(histories, taught, arms, contexts, (history, next, arm, context) => {
      const bandit = banditOf(history);
      const restored = Bandit.restore(JSON.parse(JSON.stringify(bandit.snapshot())));
      expect(restored.snapshot()).toEqual(bandit.snapshot());
      for (const one of [bandit, restored]) teach(one, next);
      expect(restored.belief(arm, context, 0.5, NOW)).toEqual(bandit.belief(arm, context, 0.5, NOW));
      expect(restored.share(arm, context, NOW)).toBe(bandit.share(arm, context, NOW));
    }),
  );
});

test('weights are never negative, whatever is taken back and however old it is', () => {
  fc.assert(
    fc.property(histories, fc.infiniteStream(fc.boolean()), (history, picks) => {
      const bandit = new Bandit();
      const lessons = history.map((one) => teach(bandit, one));
      for (const lesson of lessons) if (picks.next().value) bandit.unlearn(lesson);
      const { arms: known } = bandit.snapshot();
      for (const { total, axes, contexts: full } of known) {
        for (const [count, , squares, recentCount] of [total, ...Object.values(axes), ...Object.values(full)]) {
          expect(Math.min(count, squares, recentCount)).toBeGreaterThanOrEqual(0);
        }
      }
    }),
  );
});

test('what is taken back was never learnt, for the long memory', () => {
  fc.assert(
    fc.property(histories, taught, histories, (before, lesson, after) => {
      const [without, taken] = [banditOf([...before, ...after]), banditOf(before)];
      const mark = taken.learn(lesson.arm, lesson.context, lesson.prior, lesson.reward, lesson.weight, lesson.at);
      for (const one of after) teach(taken, one);
      taken.unlearn(mark);
      const expected = figuresIn({ ...without.snapshot(), reference: null, shares: {} });
      for (const [name, value] of figuresIn({ ...taken.snapshot(), reference: null, shares: {} })) {
        if (/\/[0-2]$/.test(name)) expect(value * scaleBetween(taken, without), name).toBeCloseTo(expected.get(name) ?? 0, 6);
      }
    }),
  );
});

/** The lesson may have moved the frame of time on; weights then refer to a later moment. */
function scaleBetween(one: Bandit, other: Bandit): number {
  const [a, b] = [one.snapshot().reference, other.snapshot().reference];
  return a === null || b === null ? 1 : 2 ** (a - b);
}

test('what is taken back at once leaves no trace', () => {
  fc.assert(
    fc.property(histories, taught, arms, contexts, (before, lesson, arm, context) => {
      const bandit = banditOf(before);
      const [mean, sd] = [bandit.belief(arm, context, 0.5, NOW).mean, bandit.belief(arm, context, 0.5, NOW).sd];
      const at = Math.max(NOW - 30 * DAY, ...before.map((one) => one.at));
      bandit.unlearn(bandit.learn(lesson.arm, lesson.context, lesson.prior, lesson.reward, lesson.weight, at));
      const after = bandit.belief(arm, context, 0.5, NOW);
      // But for what else had faded a little from the recent memory.
      expect(Math.abs(after.mean - mean)).toBeLessThan(0.02);
      expect(Math.abs(after.sd - sd)).toBeLessThan(0.02);
    }),
  );
});

test('doubt falls as rewards come', () => {
  fc.assert(
    fc.property(fc.double({ min: 0.1, max: 0.9, noNaN: true }), fc.integer({ min: 1, max: 200 }), (reward, more) => {
      const bandit = new Bandit();
      const sdAfter = (times: number) => {
        for (let i = 0; i < times; i++) bandit.learn(SMALL, LAW, 0.5, i % 2 === 0 ? reward : 1 - reward, 1, NOW);
        return bandit.belief(SMALL, LAW, 0.5, NOW).sd;
      };
      const [none, some, many] = [sdAfter(0), sdAfter(10), sdAfter(10 + 4 * more)];
      expect(some).toBeLessThan(none);
      expect(many).toBeLessThan(some);
    }),
  );
});

test('the belief of a context never seen lies between those of what it borrows from', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.05, max: 0.95, noNaN: true }),
      fc.double({ min: 0.05, max: 0.95, noNaN: true }),
      (law, code) => {
        const bandit = new Bandit();
        for (let i = 0; i < 60; i++) {
          bandit.learn(SMALL, { domain: 'law', complexity: 'simple', task: 'question' }, 0.5, law, 1, NOW);
          bandit.learn(SMALL, { domain: 'computing', complexity: 'simple', task: 'code' }, 0.5, code, 1, NOW);
        }
        const between = bandit.belief(SMALL, { domain: 'law', complexity: 'simple', task: 'code' }, 0.5, NOW).mean;
        const ends = [law, code, 0.5];
        expect(between).toBeGreaterThanOrEqual(Math.min(...ends) - 1e-9);
        expect(between).toBeLessThanOrEqual(Math.max(...ends) + 1e-9);
      },
    ),
  );
});
