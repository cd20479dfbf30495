import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SPAN, tellsAgainst, upperRate } from '../../../cache/semantic/evidence.ts';
import { FIRST_CHECKS, Watch } from '../../../cache/semantic/watch.ts';
import { seeded } from '../../support/clock.ts';

const LIMIT = 0.02;

/** Checks until it stops, or so many. */
function run(watch: Watch, rate: number, checks: number, random: () => number): number | undefined {
  for (let i = 1; i <= checks; i++) if (watch.record('acme', random() < rate, LIMIT)) return i;
  return undefined;
}

const stoppedOf = (rate: number, checks: number, tenants: number) => {
  const random = seeded(11);
  return Array.from({ length: tenants }, () => run(new Watch(random), rate, checks, random));
};

describe('the alarm', () => {
  test('goes off for at most 1 in 20 whose rate is what is permitted, looked at after each check', () => {
    const stopped = stoppedOf(LIMIT, SPAN, 2000).filter((at) => at !== undefined);
    expect(stopped.length / 2000).toBeLessThan(0.05);
  });

  test.each([
    [0.5, 12],
    [0.2, 40],
    [0.1, 120],
  ])('goes off at a rate of %f after %i checks or fewer, in half of all cases', (rate, checks) => {
    const soon = stoppedOf(rate, checks, 500).filter((at) => at !== undefined);
    expect(soon.length / 500).toBeGreaterThan(0.5);
  });

  test('never goes off for one false hit, nor while there are none', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: SPAN }), fc.double({ min: 0.001, max: 0.5, noNaN: true }), (checked, limit) => {
        expect(tellsAgainst({ checked, falseHits: 0 }, limit)).toBe(false);
        if (limit >= LIMIT) expect(tellsAgainst({ checked: checked + 1, falseHits: 1 }, limit)).toBe(false);
      }),
    );
  });

  test('is nearer with each false hit, and further with each good one', () => {
    fc.assert(
      fc.property(fc.nat(SPAN), fc.nat(SPAN), (good, bad) => {
        if (tellsAgainst({ checked: good + bad, falseHits: bad }, LIMIT)) {
          expect(tellsAgainst({ checked: good + bad + 1, falseHits: bad + 1 }, LIMIT)).toBe(true);
          if (good > 0) expect(tellsAgainst({ checked: good + bad - 1, falseHits: bad }, LIMIT)).toBe(true);
        }
      }),
    );
  });

  test('goes off soon where hits become bad after a long good time', () => {
    const watch = new Watch(() => 0);
    expect(run(watch, 0, 10 * SPAN, seeded(1))).toBeUndefined();
    expect(run(watch, 1, 10, seeded(1))).toBeDefined();
  });

  test('is one tenant’s own, told once, and stays until it is lifted', () => {
    const watch = new Watch(() => 0);
    const told = Array.from({ length: 10 }, () => watch.record('acme', true, LIMIT)).filter(Boolean);
    expect(told).toEqual([true]);
    for (let i = 0; i < 2 * SPAN; i++) watch.record('acme', false, LIMIT);
    expect([watch.isStopped('acme'), watch.isStopped('bolt'), watch.stats().stopped]).toEqual([true, false, 1]);
    expect(watch.picks('acme', 1)).toBe(false);
    watch.lift('bolt');
    expect(watch.isStopped('acme')).toBe(true);
    watch.lift('acme');
    expect([watch.isStopped('acme'), watch.stats()]).toEqual([false, { checked: 0, falseHits: 0, upper: 1, stopped: 0 }]);
  });
});

describe('checks', () => {
  test('are of all first hits, and then of the share', () => {
    const random = seeded(3);
    const watch = new Watch(random);
    const picked = Array.from({ length: 10_000 }, () => watch.picks('acme', 0.05));
    expect(picked.slice(0, FIRST_CHECKS)).toEqual(Array(FIRST_CHECKS).fill(true));
    expect(picked.slice(FIRST_CHECKS).filter(Boolean).length / 10_000).toBeCloseTo(0.05, 1);
  });

  test('that could not be made are made with other hits', () => {
    const watch = new Watch(() => 1);
    for (let i = 0; i < 100; i++) {
      expect(watch.picks('acme', 0.05)).toBe(true);
      watch.withdraw('acme');
    }
  });

  test('are of none where the share is 0', () => {
    expect(new Watch(() => 0).picks('acme', 0)).toBe(false);
  });
});

describe('the upper end of the interval', () => {
  test.each([
    [0, 0, 1],
    [20, 0, 0.1684],
    [100, 2, 0.0704],
    [1000, 0, 0.0037],
    [3, 3, 1],
  ])('of %i checks with %i false is %f', (checked, falseHits, upper) => {
    expect(upperRate({ checked, falseHits })).toBeCloseTo(upper, 3);
  });
});
