import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Reason } from '../../../proto/contract/faults.ts';
import { Fault } from '../../../proto/contract/faults.ts';
import type { Step } from '../../../router/attempt/survival.ts';
import { MOST_FRUITLESS, MOST_MOVES, MOST_STRIKES, PROGRESS_TOKENS, Survival } from '../../../router/attempt/survival.ts';

const fault = (reason: Reason) => new Fault(reason, 'as it happened');
const lost = fault('NODE_LOST');
const stalled = fault('NODE_STALLED');
const refused = (step: Step) => (step.type === 'refuse' ? step.fault.reason : undefined);

describe('after a failed attempt', () => {
  it('before the first token another follows, after a pause', () => {
    expect(new Survival().failed(stalled, 0)).toEqual({ type: 'again', soon: false });
  });

  it('in the middle another follows at once', () => {
    expect(new Survival().failed(lost, 100)).toEqual({ type: 'again', soon: true });
  });

  it.each<Reason>(['CONTEXT_TOO_LONG', 'UNSUPPORTED', 'ENGINE_FAILED', 'DEADLINE_EXCEEDED', 'CANCELLED', 'SLOW_CONSUMER'])(
    'that failed by %s none follows',
    (reason) => {
      expect(refused(new Survival().failed(fault(reason), 0))).toBe(reason);
      expect(refused(new Survival().failed(fault(reason), 50))).toBe(reason);
    },
  );

  it('the third that gave nothing is the last', () => {
    const survival = new Survival();
    expect([1, 2, 3].map(() => refused(survival.failed(stalled, 0)))).toEqual([undefined, undefined, 'NODE_STALLED']);
  });

  it('a stream goes on as often as it makes progress', () => {
    const survival = new Survival();
    for (let n = 1; n < MOST_MOVES; n++) expect(survival.failed(lost, n * PROGRESS_TOKENS).type).toBe('again');
  });

  it('two engines that died without 8 tokens of progress are the last of it', () => {
    const survival = new Survival();
    expect(survival.failed(lost, 20).type).toBe('again');
    expect(survival.failed(lost, 27).type).toBe('again');
    expect(survival.strikes).toBe(1);
    expect(refused(survival.failed(fault('ENGINE_CRASHED'), 34))).toBe('POISON_SUSPECTED');
  });

  it('a stall is no strike, and nor is work that is given back', () => {
    const survival = new Survival();
    survival.failed(stalled, 0);
    survival.failed(fault('DRAINING'), 0);
    survival.failed(fault('QUEUE_FULL'), 0);
    survival.failed(fault('NO_ROOM'), 0);
    expect(survival.strikes).toBe(0);
    expect(survival.failed(lost, 0).type).toBe('again');
  });
});

it('whatever befalls a request, it takes at most two engines with it that gave nothing new, and it comes to an end', () => {
  const reasons = fc.constantFrom<Reason>('NODE_LOST', 'ENGINE_CRASHED', 'NODE_STALLED', 'DRAINING', 'QUEUE_FULL', 'UNSUPPORTED');
  const failures = fc.array(fc.tuple(reasons, fc.nat({ max: 12 })), { minLength: MOST_MOVES, maxLength: 40 });
  fc.assert(
    fc.property(failures, (list) => {
      const survival = new Survival();
      let tokens = 0;
      let highWater = 0;
      let deaths = 0;
      let fruitless = 0;
      for (const [reason, more] of list) {
        tokens += more;
        const step = survival.failed(fault(reason), tokens);
        const died = reason === 'NODE_LOST' || reason === 'ENGINE_CRASHED';
        if (died && tokens < highWater + PROGRESS_TOKENS) deaths++;
        if (died || reason === 'NODE_STALLED') {
          fruitless = tokens < highWater + PROGRESS_TOKENS ? fruitless + 1 : 0;
          highWater = Math.max(highWater, tokens);
        }
        expect(deaths).toBeLessThanOrEqual(MOST_STRIKES);
        expect(fruitless).toBeLessThanOrEqual(MOST_FRUITLESS);
        if (step.type === 'refuse') return;
      }
      expect.unreachable('it went on for ever');
    }),
  );
});
