import { describe, expect, it } from 'vitest';
import { Pace } from '../../router/admit/pace.ts';
import { FakeClock } from '../support/clock.ts';

describe('the pace of a line', () => {
  it('is the time between its latest departures', () => {
    const clock = new FakeClock();
    const pace = new Pace(clock);
    expect(pace.of('a')).toBe(1000);
    for (let n = 0; n < 100; n++) {
      clock.advance(n < 50 ? 1000 : 100);
      pace.departed('a');
    }
    clock.advance(100);
    expect(pace.of('a')).toBeCloseTo(100);
    expect(pace.of('b')).toBe(1000);
  });

  it('is kept only of lines that moved within half a minute', () => {
    const clock = new FakeClock();
    const pace = new Pace(clock);
    for (let n = 0; n < 1000; n++) {
      clock.advance(100);
      pace.departed(`line ${n}`);
      pace.departed('steady');
    }
    expect(pace.size).toBeLessThanOrEqual(302);
    clock.advance(30_001);
    pace.departed('steady');
    expect(pace.size).toBe(1);
  });
});
