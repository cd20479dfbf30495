import { beforeEach, describe, expect, it } from 'vitest';
import { Pace } from '../../router/admit/pace.ts';
import { FakeClock } from '../support/clock.ts';

describe('the pace of a line', () => {
  let clock: FakeClock;
  let pace: Pace;

  beforeEach(() => {
    clock = new FakeClock();
    pace = new Pace(clock);
    pace.began('a');
  });

  const depart = (times: number, everyMs: number, atOnce = 1) => {
    for (let n = 0; n < times; n++) {
      clock.advance(everyMs);
      for (let one = 0; one < atOnce; one++) pace.departed('a');
    }
  };

  it('is one a second before anybody has left, and slower the longer nobody does', () => {
    expect(pace.of('a')).toBe(1000);
    expect(pace.of('unknown')).toBe(1000);
    clock.advance(3000);
    expect(pace.of('a')).toBeGreaterThan(2500);
    expect(pace.measured('a')).toBeUndefined();
  });

  it.each([5, 100, 1000, 4000])('is the time between departures: %i ms', (everyMs) => {
    depart(Math.ceil(40_000 / everyMs), everyMs);
    expect(pace.of('a') / everyMs).toBeGreaterThan(0.7);
    expect(pace.of('a') / everyMs).toBeLessThan(1.3);
  });

  it('is the average where many leave at once', () => {
    depart(8, 5000, 16);
    for (let n = 0; n < 5; n++) {
      expect(pace.of('a')).toBeGreaterThan((5000 / 16) * 0.7);
      expect(pace.of('a')).toBeLessThan((5000 / 16) * 1.3);
      clock.advance(990);
    }
  });

  it('follows a line that becomes slower or faster within 20 s', () => {
    depart(300, 100);
    depart(20, 1000);
    expect(pace.of('a')).toBeGreaterThan(450);
    depart(200, 100);
    expect(pace.of('a')).toBeLessThan(150);
  });

  it('tells at once that a line stands still', () => {
    depart(300, 100);
    clock.advance(10_000);
    expect(pace.of('a')).toBeGreaterThan(250);
    clock.advance(50_000);
    expect(pace.of('a')).toBeGreaterThan(5000);
    expect(pace.measured('a')).toBeUndefined();
  });

  it('counts only the time in which somebody waited', () => {
    depart(100, 100);
    pace.emptied('a');
    clock.advance(20_000);
    pace.began('a');
    depart(10, 100);
    expect(pace.of('a')).toBeCloseTo(100, 0);
    expect(pace.measured('a')).toBeCloseTo(100, 0);
  });

  it('is kept only of lines in which somebody waits or did within half a minute', () => {
    for (let n = 0; n < 1000; n++) {
      clock.advance(100);
      pace.began(`line ${n}`);
      pace.departed(`line ${n}`);
      pace.emptied(`line ${n}`);
    }
    expect(pace.size).toBeLessThanOrEqual(302);
    clock.advance(30_001);
    pace.began('b');
    expect(pace.size).toBe(2);
  });
});
