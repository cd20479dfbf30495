import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Failed, Next } from '../../client/failover.ts';
import { Failover, MOST_RESUMES, MOST_TRIES, PROGRESS_TOKENS } from '../../client/failover.ts';
import type { Reason } from '../../proto/contract/faults.ts';
import { Fault, REASONS } from '../../proto/contract/faults.ts';
import { seeded } from '../support/clock.ts';

const failed = (reason: Reason, more: Partial<Failed> = {}): Failed => ({
  fault: new Fault(reason, 'as the test says'),
  begun: false,
  opened: false,
  tokens: 0,
  remainingMs: 60_000,
  ...more,
});
const broke = (reason: Reason, tokens: number) => failed(reason, { begun: true, opened: true, tokens });
const refused = (reason: Reason, more: Partial<Failed> = {}) => failed(reason, { begun: true, ...more });
/** The reason that the caller is told; undefined when it is tried again. */
const ended = (next: Next): Reason | undefined => (next.type === 'end' ? next.fault.reason : undefined);
const of = (routers = 2) => new Failover(routers, seeded(1));

describe('before the first event', () => {
  const may = new Set<Reason>(['UNREACHABLE', 'DRAINING', 'NO_NODE', 'NODE_LOST', 'NODE_STALLED', 'ENGINE_CRASHED']);

  it.each(Object.keys(REASONS) as Reason[])('another router is tried for what is UNAVAILABLE and nothing else: %s', (reason) => {
    expect(ended(of().next(failed(reason)))).toBe(may.has(reason) ? undefined : reason);
    expect(ended(of(1).next(failed(reason)))).toBe(reason);
  });

  it('one other router is tried where a node died, whose router has tried others already', () => {
    const policy = of(3);
    expect(ended(policy.next(failed('NODE_LOST')))).toBeUndefined();
    expect(ended(policy.next(failed('ENGINE_CRASHED')))).toBe('ENGINE_CRASHED');
  });

  it('the pauses double, and half of each is chance', () => {
    for (const [random, factor] of [
      [() => 0, 0.5],
      [() => 1, 1],
    ] as const) {
      const policy = new Failover(2, random);
      const pauses = Array.from({ length: MOST_TRIES - 1 }, () => policy.next(failed('UNREACHABLE')));
      const expected = [80, 160, 320, 640, 1000, 1000, 1000].map((ms) => ({ type: 'again', afterMs: ms * factor }));
      expect(pauses).toEqual(expected);
      expect(ended(policy.next(failed('UNREACHABLE')))).toBe('UNREACHABLE');
    }
  });
});

describe('a stream that broke', () => {
  it('by a node that died goes on at one other router, and nowhere where there is none', () => {
    expect(ended(of(1).next(broke('NODE_LOST', 50)))).toBe('NODE_LOST');
    const policy = of(3);
    expect(ended(policy.next(broke('NODE_LOST', 50)))).toBeUndefined();
    expect(ended(policy.next(broke('NODE_STALLED', 55)))).toBe('NODE_STALLED');
  });

  it.each<[Reason, boolean]>([
    ['UNREACHABLE', true],
    ['DRAINING', true],
    ['STREAM_NOT_RESUMABLE', false],
    ['SLOW_CONSUMER', false],
    ['DEADLINE_EXCEEDED', false],
    ['POISON_SUSPECTED', false],
    ['CANCELLED', false],
    ['QUEUE_FULL', false],
    ['INTERNAL', false],
  ])('goes on after %s: %s', (reason, goesOn) => {
    for (const routers of [1, 2]) expect(ended(of(routers).next(broke(reason, 5)))).toBe(goesOn ? undefined : reason);
  });

  it('goes on three times without 8 tokens in between, and as often as it likes with them', () => {
    const stuck = of();
    for (let n = 0; n < MOST_RESUMES; n++) {
      expect(ended(stuck.next(broke('UNREACHABLE', n * (PROGRESS_TOKENS - 1))))).toBeUndefined();
    }
    expect(ended(stuck.next(broke('UNREACHABLE', MOST_RESUMES * (PROGRESS_TOKENS - 1))))).toBe('UNREACHABLE');
    const moving = of();
    for (let n = 0; n < 50; n++) expect(ended(moving.next(broke('NODE_LOST', n * PROGRESS_TOKENS)))).toBeUndefined();
  });

  it('waits for a slot as long as it is told to, if the deadline lets it', () => {
    const policy = of();
    policy.next(broke('NODE_LOST', 5));
    const fault = new Fault('QUEUE_FULL', 'full', { retryAfterMs: 5000 });
    expect(policy.next(refused('QUEUE_FULL', { fault }))).toEqual({ type: 'again', afterMs: 5000 });
    expect(ended(policy.next(refused('QUEUE_FULL', { fault, remainingMs: 5000 })))).toBe('NODE_LOST');
  });

  it('ends with what broke it when going on was refused too often, and at once with a reason that will not change', () => {
    const policy = of();
    policy.next(broke('NODE_LOST', 5));
    for (let n = 1; n < MOST_TRIES; n++) expect(ended(policy.next(refused('NO_NODE')))).toBeUndefined();
    expect(ended(policy.next(refused('NO_NODE')))).toBe('NODE_LOST');
    expect(ended(policy.next(refused('STREAM_NOT_RESUMABLE')))).toBe('STREAM_NOT_RESUMABLE');
  });
});

describe('a router that knows no such model', () => {
  it('may have just started where another was lost, and is asked again', () => {
    const before = of();
    expect(ended(before.next(failed('DRAINING')))).toBeUndefined();
    expect(ended(before.next(failed('MODEL_NOT_FOUND')))).toBeUndefined();
    const within = of(1);
    expect(ended(within.next(broke('UNREACHABLE', 5)))).toBeUndefined();
    expect(ended(within.next(refused('MODEL_NOT_FOUND')))).toBeUndefined();
  });

  it('is believed otherwise; in the middle of an answer the loss of its node is what the caller is told', () => {
    const policy = of();
    expect(ended(policy.next(broke('NODE_LOST', 5)))).toBeUndefined();
    expect(ended(policy.next(refused('MODEL_NOT_FOUND')))).toBe('NODE_LOST');
  });
});

it('any run of failures without progress ends after a bounded number of calls, and no pause outlasts the deadline', () => {
  const reason = fc.constantFrom(...(Object.keys(REASONS) as Reason[]));
  const step = fc.record({ reason, opened: fc.boolean(), remainingMs: fc.integer({ min: 0, max: 3000 }) });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.infiniteStream(step), (routers, steps) => {
      const policy = new Failover(routers, seeded(routers));
      let begun = false;
      let calls = 0;
      for (const { reason: why, opened, remainingMs } of steps) {
        begun ||= opened;
        calls++;
        const next = policy.next(failed(why, { begun, opened, remainingMs }));
        if (next.type === 'end') break;
        expect(next.afterMs).toBeLessThan(remainingMs);
      }
      expect(calls).toBeLessThanOrEqual(MOST_TRIES + (MOST_RESUMES + 1) * MOST_TRIES);
    }),
  );
});
