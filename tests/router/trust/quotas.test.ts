import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Fault } from '../../../proto/contract/faults.ts';
import type { Quota, QuotaLease } from '../../../router/trust/quotas.ts';
import { Quotas } from '../../../router/trust/quotas.ts';
import { FakeClock } from '../../support/clock.ts';

const MINUTE = 60_000;

function quotasOf(quota: Quota) {
  const clock = new FakeClock();
  const quotas = new Quotas(
    () => clock.now(),
    () => quota,
  );
  return { clock, quotas };
}

function refusal(enter: () => unknown): Fault {
  try {
    enter();
  } catch (thrown) {
    return thrown as Fault;
  }
  throw new Error('it was let in');
}

describe('a quota of requests', () => {
  it('lets in a minute of them at once, then one for each part of a minute, and says when', () => {
    const { clock, quotas } = quotasOf({ requestsPerMinute: 6 });
    for (let i = 0; i < 6; i++) quotas.enter('a', 1)[Symbol.dispose]();
    const fault = refusal(() => quotas.enter('a', 1));
    expect(fault).toMatchObject({ reason: 'QUOTA_EXCEEDED', code: 8, retryable: true, retryAfterMs: 10_000 });
    expect(fault.message).toBe('the quota of 6 requests a minute is used up for now');
    clock.advance(9_999);
    expect(refusal(() => quotas.enter('a', 1)).retryAfterMs).toBe(1);
    clock.advance(1);
    quotas.enter('a', 1)[Symbol.dispose]();
    refusal(() => quotas.enter('a', 1));
  });

  it('is one for each tenant, and none for the one without a name', () => {
    const { quotas } = quotasOf({ requestsPerMinute: 1 });
    quotas.enter('a', 1);
    refusal(() => quotas.enter('a', 1));
    quotas.enter('b', 1);
    for (let i = 0; i < 100; i++) quotas.enter(undefined, 1e9);
  });

  it('that is raised or lowered while it runs holds from the next request on', () => {
    let quota: Quota = { requestsPerMinute: 2 };
    const clock = new FakeClock();
    const quotas = new Quotas(
      () => clock.now(),
      () => quota,
    );
    quotas.enter('a', 1);
    quotas.enter('a', 1);
    quota = { requestsPerMinute: 60 };
    expect(refusal(() => quotas.enter('a', 1)).retryAfterMs).toBe(1000);
    quota = {};
    for (let i = 0; i < 100; i++) quotas.enter('a', 1);
  });
});

describe('a quota of tokens', () => {
  it('is charged by estimate and set right by what was used', () => {
    const { clock, quotas } = quotasOf({ tokensPerMinute: 600 });
    const lease = quotas.enter('a', 600);
    expect(refusal(() => quotas.enter('a', 100)).retryAfterMs).toBe(10_000);
    lease.settle(500);
    const more = quotas.enter('a', 100);
    // 50 more than was thought are a debt, which the refill pays first.
    more.settle(150);
    expect(refusal(() => quotas.enter('a', 10)).retryAfterMs).toBe(6_000);
    clock.advance(6_000);
    quotas.enter('a', 10).settle(10);
  });

  it('gives everything back for a request that used nothing', () => {
    const { quotas } = quotasOf({ tokensPerMinute: 600 });
    for (let i = 0; i < 10; i++) quotas.enter('a', 600)[Symbol.dispose]();
  });

  it('lets a request that is larger than a minute in when it is full, and has it owe the rest', () => {
    const { clock, quotas } = quotasOf({ tokensPerMinute: 600 });
    quotas.enter('a', 6000).settle(1200);
    expect(refusal(() => quotas.enter('a', 600)).retryAfterMs).toBe(2 * MINUTE);
    clock.advance(2 * MINUTE);
    quotas.enter('a', 6000);
  });
});

describe('a quota of streams', () => {
  it('lets in what needs no token, whatever is owed', () => {
    const { quotas } = quotasOf({ tokensPerMinute: 60 });
    quotas.enter('a', 60).settle(600);
    refusal(() => quotas.enter('a', 1));
    quotas.enter('a', 0)[Symbol.dispose]();
  });

  it('is freed once by each, however often and in whatever way it ends', () => {
    const { quotas } = quotasOf({ streams: 2 });
    const [one, other] = [quotas.enter('a', 1), quotas.enter('a', 1)];
    expect(refusal(() => quotas.enter('a', 1)).message).toContain('2 streams at the same time');
    one.settle(5);
    one.settle(5);
    one[Symbol.dispose]();
    expect(quotas.streams('a')).toBe(1);
    quotas.enter('a', 1)[Symbol.dispose]();
    other[Symbol.dispose]();
    expect(quotas.streams('a')).toBe(0);
  });

  it('charges nothing for a request that it refuses', () => {
    const { quotas } = quotasOf({ streams: 1, requestsPerMinute: 2, tokensPerMinute: 100 });
    const lease = quotas.enter('a', 50);
    for (let i = 0; i < 10; i++) refusal(() => quotas.enter('a', 50));
    lease.settle(50);
    quotas.enter('a', 50);
  });
});

const step = fc.oneof(
  fc.record({ type: fc.constant('enter' as const), tokens: fc.integer({ min: 0, max: 3000 }) }),
  fc.record({ type: fc.constant('end' as const), which: fc.nat(), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
  fc.record({ type: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 90_000 }) }),
);
const someQuota = fc.record(
  {
    requestsPerMinute: fc.integer({ min: 1, max: 50 }),
    tokensPerMinute: fc.integer({ min: 1, max: 2000 }),
    streams: fc.integer({ min: 1, max: 5 }),
  },
  { requiredKeys: ['requestsPerMinute', 'tokensPerMinute', 'streams'] },
);

describe('in any order of things', () => {
  it('no span has more than its quota and one minute beside, and every stream is given back', () => {
    fc.assert(
      fc.property(someQuota, fc.array(step, { maxLength: 80 }), (quota, steps) => {
        const { clock, quotas } = quotasOf(quota);
        const open: { lease: QuotaLease; tokens: number; at: number }[] = [];
        const used: { at: number; tokens: number }[] = [];
        const entered: number[] = [];
        const end = (part: number, which: number) => {
          const [one] = open.splice(which % open.length, 1);
          if (!one) return;
          // What is used is at most what was charged: the rest is owed, which a test above looks at.
          const tokens = Math.floor(Math.min(one.tokens, quota.tokensPerMinute) * part);
          one.lease.settle(tokens);
          used.push({ at: one.at, tokens });
        };
        for (const one of steps) {
          if (one.type === 'wait') clock.advance(one.ms);
          else if (one.type === 'end') {
            if (open.length > 0) end(one.part, one.which);
          } else {
            try {
              open.push({ lease: quotas.enter('a', one.tokens), tokens: one.tokens, at: clock.now() });
              entered.push(clock.now());
            } catch (thrown) {
              expect(thrown).toMatchObject({ reason: 'QUOTA_EXCEEDED' });
              expect((thrown as Fault).retryAfterMs).toBeGreaterThan(0);
            }
          }
          expect(quotas.streams('a')).toBe(open.length);
          expect(open.length).toBeLessThanOrEqual(quota.streams);
        }
        while (open.length > 0) end(1, 0);
        expect(quotas.streams('a')).toBe(0);
        for (const from of entered) {
          for (const to of entered.filter((at) => at >= from)) {
            const minutes = (to - from) / MINUTE + 1;
            const within = ({ at }: { at: number }) => at >= from && at <= to;
            const requests = entered.filter((at) => within({ at })).length;
            expect(requests).toBeLessThanOrEqual(quota.requestsPerMinute * minutes + 1e-6);
            const tokens = used.filter(within).reduce((sum, { tokens: some }) => sum + some, 0);
            expect(tokens).toBeLessThanOrEqual(quota.tokensPerMinute * minutes + 1e-3);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('a request that comes again when it was told to is let in', () => {
    fc.assert(
      fc.property(
        someQuota,
        fc.array(fc.tuple(fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 0, max: 4000 })), { maxLength: 40 }),
        (quota, requests) => {
          const { clock, quotas } = quotasOf(quota);
          for (const [tokens, uses] of requests) {
            try {
              quotas.enter('a', tokens).settle(uses);
            } catch (thrown) {
              clock.advance((thrown as Fault).retryAfterMs as number);
              quotas.enter('a', tokens).settle(uses);
            }
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
