import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { FirstTokens } from '../../../router/patience/first-tokens.ts';
import { Patience } from '../../../router/patience/patience.ts';
import { FakeClock } from '../../support/clock.ts';

const MINUTE = 60_000;

describe('patience for a first token', () => {
  let clock: FakeClock;
  let patience: Patience;

  beforeEach(() => {
    clock = new FakeClock();
    patience = new Patience(clock);
  });

  const simple = { model: 'm', complexity: 'simple' } as const;
  const awaited = (expectedFirstTokenMs = 0) => patience.firstTokenMs({ ...simple, expectedFirstTokenMs });
  const saw = (firstTokenMs: number, times: number) => {
    for (let n = 0; n < times; n++) patience.saw({ ...simple, firstTokenMs });
  };

  it.each([
    ['simple', 10_000],
    ['moderate', 30_000],
    ['complex', 60_000],
  ] as const)('begins for %s prompts with %i ms', (complexity, ms) => {
    expect(patience.firstTokenMs({ model: 'm', complexity, expectedFirstTokenMs: 10 })).toBe(ms);
  });

  it('is twice the 99th percentile once 20 first tokens were seen, within the ratio of a bucket', () => {
    saw(3000, 19);
    expect(awaited()).toBe(10_000);
    saw(3000, 1);
    expect(awaited()).toBeGreaterThan(6000 / 1.2);
    expect(awaited()).toBeLessThan(6000 * 1.2);
  });

  it('learns each model and complexity by itself', () => {
    saw(3000, 100);
    expect(patience.firstTokenMs({ ...simple, model: 'other', expectedFirstTokenMs: 0 })).toBe(10_000);
    expect(patience.firstTokenMs({ ...simple, complexity: 'moderate', expectedFirstTokenMs: 0 })).toBe(30_000);
  });

  it('stays between 2 s and 120 s by what it has learnt', () => {
    saw(5, 50);
    expect(awaited()).toBe(2000);
    saw(1_000_000, 50);
    expect(awaited()).toBe(120_000);
  });

  it('goes back to its starting point when what it learnt has faded', () => {
    saw(5, 40);
    clock.advance(3 * 60 * MINUTE);
    expect(awaited()).toBe(10_000);
  });

  it('grows where attempts are given up that would have needed longer', () => {
    saw(500, 100);
    const before = awaited();
    saw(before, 5);
    expect(awaited()).toBeGreaterThan(1.6 * before);
  });

  it('is never less than twice what was expected of the attempt, and never more than the longest deadline', () => {
    const seen = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { maxLength: 60 });
    fc.assert(
      fc.property(seen, fc.double({ min: 0, noNaN: true }), (times, expected) => {
        const learning = new Patience(clock);
        for (const firstTokenMs of times) learning.saw({ ...simple, firstTokenMs });
        const ms = learning.firstTokenMs({ ...simple, expectedFirstTokenMs: expected });
        expect(ms).toBeGreaterThanOrEqual(Math.min(3_600_000, Math.max(2000, 2 * expected)));
        expect(ms).toBeLessThanOrEqual(3_600_000);
      }),
    );
  });

  it('remembers a bounded number of models, those seen last', () => {
    saw(5, 50);
    for (let n = 0; n < 5000; n++) {
      patience.saw({ model: `m${n}`, complexity: 'complex', firstTokenMs: 5 });
      if (n % 1000 === 0) saw(5, 1);
    }
    expect(patience.size).toBe(3000);
    expect(awaited()).toBe(2000);
  });
});

describe('first tokens of a node', () => {
  it('are told once 20 were seen, by node and model, until the node is forgotten', () => {
    const clock = new FakeClock();
    const times = new FirstTokens(clock);
    for (let n = 1; n < 20; n++) times.saw('a', 'm', n * 10);
    expect(times.p95('a', 'm')).toBeUndefined();
    times.saw('a', 'm', 200);
    expect(times.p95('a', 'm')).toBeGreaterThan(190 / 1.2);
    expect(times.p95('a', 'm')).toBeLessThan(190 * 1.2);
    expect(times.p95('b', 'm')).toBeUndefined();
    expect(times.p95('a', 'other')).toBeUndefined();
    times.forget('a');
    expect(times.p95('a', 'm')).toBeUndefined();
  });

  it('are unknown again once they have faded', () => {
    const clock = new FakeClock();
    const times = new FirstTokens(clock);
    for (let n = 0; n < 30; n++) times.saw('a', 'm', 100);
    clock.advance(60 * MINUTE);
    expect(times.p95('a', 'm')).toBeUndefined();
  });

  it('take no memory for nodes that came and went', () => {
    const times = new FirstTokens(new FakeClock());
    for (let n = 0; n < 1000; n++) {
      times.saw(`node ${n}`, 'm', 100);
      times.p95(`other ${n}`, 'm');
      times.forget(`node ${n}`);
    }
    expect(times.size).toBe(0);
  });
});
