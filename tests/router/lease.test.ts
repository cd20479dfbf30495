import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EXPIRE_AFTER_MS, forgiveness, leaseAt, MAX_LAG_MS, SUSPECT_AFTER_MS } from '../../router/fleet/lease.ts';

describe('a lease', () => {
  it('is held, suspect from 2.5 s, expired from 5 s of silence', () => {
    expect([0, 2499, 2500, 4999, 5000, 1e9].map((now) => leaseAt(now, 0))).toEqual([
      'held',
      'held',
      'suspect',
      'suspect',
      'expired',
      'expired',
    ]);
  });

  it('only ever gets worse by waiting', () => {
    const order = ['held', 'suspect', 'expired'];
    const ms = fc.double({ min: 0, max: 1e7, noNaN: true });
    fc.assert(
      fc.property(ms, ms, ms, (last, age, more) => {
        expect(order.indexOf(leaseAt(last + age + more, last))).toBeGreaterThanOrEqual(order.indexOf(leaseAt(last + age, last)));
      }),
    );
  });
});

describe('a check of leases that comes late', () => {
  it('forgives its own lag beyond 500 ms, and nothing of a punctual one', () => {
    expect(forgiveness(1000, 1000)).toBe(0);
    expect(forgiveness(1000 + MAX_LAG_MS, 1000)).toBe(0);
    expect(forgiveness(1000 + MAX_LAG_MS + 1, 1000)).toBe(MAX_LAG_MS + 1);
    expect(forgiveness(900, 1000)).toBe(0);
  });

  it('never makes an expired lease of one that was held when the router stood still', () => {
    const ms = fc.integer({ min: 0, max: 10_000_000 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: SUSPECT_AFTER_MS - MAX_LAG_MS - 1 }), ms, (age, lag) => {
        const [last, due] = [0, age];
        const now = due + lag;
        const forgiven = forgiveness(now, due);
        expect(leaseAt(now, last + forgiven)).toBe('held');
        expect(EXPIRE_AFTER_MS).toBeGreaterThan(SUSPECT_AFTER_MS);
      }),
    );
  });
});
