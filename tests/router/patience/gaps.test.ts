import { beforeEach, describe, expect, it } from 'vitest';
import { Gaps } from '../../../router/patience/gaps.ts';
import { FakeClock } from '../../support/clock.ts';

describe('the stall timer of a node and model', () => {
  let clock: FakeClock;
  let gaps: Gaps;

  beforeEach(() => {
    clock = new FakeClock();
    gaps = new Gaps(clock);
  });

  it('is 700 ms where tokens come faster than they are looked at', () => {
    gaps.passed('a', 'm', 10_000);
    expect(gaps.stallMs('a', 'm', 5000)).toBe(700);
  });

  it('is 8 times the 99th percentile of the gaps, within the ratio of a bucket', () => {
    // 4 tokens a second: each look but every fifth finds nothing new.
    for (let n = 0; n < 200; n++) gaps.saw('a', 'm', 4);
    expect(gaps.stallMs('a', 'm', 0)).toBeGreaterThan((8 * 250) / 1.2);
    expect(gaps.stallMs('a', 'm', 0)).toBeLessThan(8 * 250 * 1.2);
  });

  it('does not grow by silences that are rarer than one gap in a hundred', () => {
    gaps.passed('a', 'm', 10_000);
    for (let n = 0; n < 90; n++) gaps.saw('a', 'm', 12);
    expect(gaps.stallMs('a', 'm', 0)).toBe(700);
    for (let n = 0; n < 20; n++) gaps.saw('a', 'm', 12);
    clock.advance(1000);
    expect(gaps.stallMs('a', 'm', 0)).toBeGreaterThan(4000);
  });

  it('goes by the expected gap until 100 were seen, and by what was seen from then on', () => {
    expect(gaps.stallMs('a', 'm', 10)).toBe(700);
    expect(gaps.stallMs('a', 'm', 200)).toBe(1600);
    gaps.passed('a', 'm', 99);
    expect(gaps.stallMs('a', 'm', 200)).toBe(1600);
    gaps.passed('a', 'm', 1);
    expect(gaps.stallMs('a', 'm', 200)).toBe(700);
  });

  it('is 30 s at most, also for a node that claims no rate at all', () => {
    expect(gaps.stallMs('a', 'm', Number.POSITIVE_INFINITY)).toBe(30_000);
    for (let n = 0; n < 200; n++) gaps.saw('a', 'm', 2000);
    expect(gaps.stallMs('a', 'm', 0)).toBe(30_000);
  });

  it('follows a node that has become slower within a second, and forgets in the course of time', () => {
    gaps.passed('a', 'm', 200);
    expect(gaps.stallMs('a', 'm', 0)).toBe(700);
    for (let n = 0; n < 20; n++) gaps.saw('a', 'm', 9);
    clock.advance(250);
    expect(gaps.stallMs('a', 'm', 0)).toBeGreaterThan(3000);
    clock.advance(60 * 60_000);
    expect(gaps.stallMs('a', 'm', 300)).toBe(2400);
  });

  it('knows each node and model by itself, and none that was forgotten', () => {
    for (let n = 0; n < 200; n++) gaps.saw('a', 'm', 9);
    expect(gaps.stallMs('b', 'm', 0)).toBe(700);
    expect(gaps.stallMs('a', 'other', 0)).toBe(700);
    gaps.forget('a');
    expect(gaps.stallMs('a', 'm', 0)).toBe(700);
    expect(gaps.size).toBe(0);
  });

  it('takes no memory for what was only asked about, or gave nothing', () => {
    for (let n = 0; n < 1000; n++) {
      gaps.stallMs(`node ${n}`, 'm', 10);
      gaps.passed(`node ${n}`, 'm', 0);
    }
    expect(gaps.size).toBe(0);
  });
});
