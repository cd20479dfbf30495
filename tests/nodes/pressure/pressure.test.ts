import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { IdleModels, Look, Move } from '../../../nodes/pressure/pressure.ts';
import { PACE, Pressure } from '../../../nodes/pressure/pressure.ts';
import { PressureLevel } from '../../../proto/gen/infermesh/v1/types.ts';

const { PRESSURE_LEVEL_NONE: NONE, PRESSURE_LEVEL_HIGH: HIGH, PRESSURE_LEVEL_CRITICAL: CRITICAL } = PressureLevel;
const MARKS = { low: 0.75, high: 0.85, critical: 0.95 };
const NO_IDLE: IdleModels = { memory: 'none', gpu: 'none' };
const SOME_IDLE: IdleModels = { memory: 'some', gpu: 'none' };
const LAST_IDLE: IdleModels = { memory: 'last', gpu: 'none' };

/** A node that looks each second; `run` gives what it did, each with its second. */
function node() {
  const pressure = new Pressure(MARKS);
  let at = 0;
  const run = (seconds: number, look: Partial<Look>, idle = NO_IDLE) => {
    const moves: string[] = [];
    for (let second = 0; second < seconds; second++) {
      const move = pressure.next({ use: 0, stalled: 0, gpu: 'free', acting: false, ...look, at }, idle);
      if (move) moves.push(`${second}: ${move.type} ${move.step}${'of' in move ? ` of ${move.of}` : ''}`);
      at += 1000;
    }
    return moves;
  };
  return { pressure, run };
}

describe('over the high mark', () => {
  test('idle models go one after the other, then smaller models are preferred; between steps each has 3 s to take effect', () => {
    const { pressure, run } = node();
    expect(run(8, { use: 0.85 }, SOME_IDLE)).toEqual(['3: take unload of memory', '6: take unload of memory']);
    expect(pressure.level).toBe(HIGH);
    expect(run(8, { use: 0.9 })).toEqual(['1: take smaller-tier']);
    expect(pressure.steps).toEqual(['unload', 'smaller-tier']);
  });

  test('a peak of less than 3 s is nothing', () => {
    const { pressure, run } = node();
    run(3, { use: 0.94 }, SOME_IDLE);
    expect([run(1, { use: 0.84 }, SOME_IDLE), run(3, { use: 0.94 }, SOME_IDLE)]).toEqual([[], []]);
    expect(pressure.level).toBe(NONE);
  });

  test('the last model stays, and nothing is refused', () => {
    const { pressure, run } = node();
    run(60, { use: 0.94 }, LAST_IDLE);
    expect(pressure.steps).toEqual(['smaller-tier']);
  });

  test('a model on its way out is waited for', () => {
    const { run } = node();
    expect(run(10, { use: 0.9, acting: true }, SOME_IDLE)).toEqual([]);
  });
});

test('below it memory is short as well where everything stands still for want of it', () => {
  const { run } = node();
  expect(run(4, { use: 0.8, stalled: 0.1 })).toEqual(['3: take smaller-tier']);
  // Of a neighbour whose own limit is reached, the kernel says the same of the machine.
  expect(node().run(9, { use: 0.5, stalled: 0.9 })).toEqual([]);
});

describe('over the critical mark', () => {
  test('there is no time to lose: each look is a step, to the refusal of new work', () => {
    const { pressure, run } = node();
    expect(run(2, { use: 0.95 }, SOME_IDLE)).toEqual(['0: take unload of memory', '1: take unload of memory']);
    expect(run(5, { use: 0.96 }, LAST_IDLE)).toEqual([
      '0: take smaller-tier',
      '1: take shed',
      '2: take unload of memory',
      '3: take unload of memory',
      '4: take unload of memory',
    ]);
    expect(pressure.level).toBe(CRITICAL);
  });

  test('new work is taken again halfway to the high mark; the rest comes back under the low mark, the last step first', () => {
    const { pressure, run } = node();
    run(1, { use: 0.95 }, SOME_IDLE);
    run(2, { use: 0.95 });
    expect(pressure.level).toBe(CRITICAL);
    expect(run(30, { use: 0.91 })).toEqual([]);
    expect(run(30, { use: 0.89 })).toEqual(['10: give_back shed']);
    expect(pressure.level).toBe(HIGH);
    expect(run(60, { use: 0.76 })).toEqual([]);
    expect(run(30, { use: 0.74 })).toEqual(['10: give_back smaller-tier', '21: give_back unload']);
    expect(pressure.level).toBe(NONE);
  });
});

describe('memory of GPUs', () => {
  test('that is short unloads an idle model of several there, and nothing else', () => {
    const { pressure, run } = node();
    expect(run(10, { gpu: 'short' }, { memory: 'some', gpu: 'last' })).toEqual([]);
    expect(run(4, { gpu: 'short' }, { memory: 'some', gpu: 'some' })).toEqual(['0: take unload of gpu', '3: take unload of gpu']);
    expect(run(60, { gpu: 'scarce' })).toEqual([]);
    expect(run(20, { gpu: 'free' })).toEqual(['10: give_back unload']);
    expect(pressure.level).toBe(NONE);
  });
});

test('whatever memory does: steps in order, no flapping, the last model only from a node that takes nothing new, and back at last', () => {
  const phase = fc.record({
    seconds: fc.integer({ min: 1, max: 30 }),
    use: fc.double({ min: 0, max: 1.2, noNaN: true }),
    stalled: fc.constantFrom(0, 0.05, 0.5),
    gpu: fc.constantFrom('free' as const, 'scarce' as const, 'short' as const),
    acting: fc.boolean(),
    idle: fc.constantFrom(NO_IDLE, SOME_IDLE, LAST_IDLE, { memory: 'last', gpu: 'some' } as const),
  });
  fc.assert(
    fc.property(fc.array(phase, { maxLength: 40 }), (phases) => {
      const pressure = new Pressure(MARKS);
      const taken = new Map<string, number>();
      let movedAt = Number.NEGATIVE_INFINITY;
      let at = 0;
      const free = { seconds: 60, use: 0.5, stalled: 0, gpu: 'free', acting: false, idle: NO_IDLE } as const;
      for (const { seconds, idle, ...look } of [...phases, free]) {
        for (let second = 0; second < seconds; second++, at += 1000) {
          const before = pressure.steps;
          const move = pressure.next({ ...look, at }, idle);
          if (move) check(move, before, look.use >= MARKS.critical, idle);
          expect(pressure.level).toBe(pressure.steps.includes('shed') ? CRITICAL : pressure.steps.length > 0 ? HIGH : NONE);
        }
      }
      expect(pressure.steps).toEqual([]);

      function check(move: Move, before: readonly string[], critical: boolean, idle: IdleModels): void {
        if (move.type === 'give_back') {
          expect(move.step).toBe(before.at(-1));
          expect(at - taken.get(move.step)!).toBeGreaterThanOrEqual(PACE.calmMs);
          expect(at - movedAt).toBeGreaterThanOrEqual(PACE.calmMs);
        } else {
          if (!critical) expect(at - movedAt).toBeGreaterThanOrEqual(PACE.settleMs);
          if (move.step === 'unload')
            expect(idle[move.of]).toBe(before.includes('shed') && idle[move.of] !== 'some' ? 'last' : 'some');
          else expect(before).not.toContain(move.step);
          if (move.step === 'shed') expect(before).toContain('smaller-tier');
          taken.set(move.step, at);
        }
        movedAt = at;
      }
    }),
    { seed: 6, numRuns: 2000 },
  );
});
