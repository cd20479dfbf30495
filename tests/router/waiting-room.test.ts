import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { Fault } from '../../proto/contract/faults.ts';
import type { Look } from '../../router/admit/waiting-room.ts';
import { WaitingRoom } from '../../router/admit/waiting-room.ts';
import { FakeClock, seeded } from '../support/clock.ts';

const never = new AbortController().signal;

/** As whoever calls a waiting room keeps its lines: nobody stands behind `bound` others. */
function bounded(room: WaitingRoom<number>, line: string, bound: number, look: () => Look<number>, signal: AbortSignal) {
  return room.lengthOf(line) >= bound ? Promise.reject(room.full(line)) : room.wait(line, look, signal);
}

describe('a waiting room', () => {
  let clock: FakeClock;
  let room: WaitingRoom<number>;
  let slots: number;
  const order: number[] = [];

  beforeEach(() => {
    clock = new FakeClock();
    room = new WaitingRoom(clock, () => 0.5);
    slots = 0;
    order.length = 0;
  });

  const look = (n: number) => (): Look<number> => {
    if (slots === 0) return { type: 'busy' };
    slots--;
    order.push(n);
    return { type: 'admitted', value: n };
  };
  const wait = (n: number, line = 'a', bound = 10, signal = never) => bounded(room, line, bound, look(n), signal);

  it('lets in who came first, and only as many as there are slots', async () => {
    const all = [1, 2, 3].map((n) => wait(n));
    slots = 2;
    room.lookAgain();
    expect(order).toEqual([1, 2]);
    expect(await Promise.all(all.slice(0, 2))).toEqual([1, 2]);
    expect(room.size).toBe(1);
    slots = 1;
    room.lookAgain();
    expect(await all[2]).toBe(3);
    expect(room.hasLine('a')).toBe(false);
  });

  it('keeps a line that is stuck from holding up another', async () => {
    const stuck = room.wait('stuck', () => ({ type: 'busy' }), never);
    const other = wait(7, 'other');
    slots = 1;
    room.lookAgain();
    expect(await other).toBe(7);
    expect(room.size).toBe(1);
    stuck.catch(() => {});
  });

  it('serves its lines in the order in which their heads came, also when one of them never empties', async () => {
    for (const n of [1, 2, 3]) void wait(n, 'long');
    void wait(4, 'other');
    for (const n of [5, 6]) void wait(n, 'long');
    for (let n = 0; n < 6; n++) {
      void wait(10 + n, 'long', 100);
      slots = 1;
      room.lookAgain();
    }
    expect(order).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('ends a waiter whose look is a defect, and goes on behind it', async () => {
    const look = () => {
      throw new TypeError('x');
    };
    const broken = room.wait('a', look, never);
    const next = wait(2);
    slots = 1;
    room.lookAgain();
    await expect(broken).rejects.toMatchObject({ reason: 'INTERNAL' });
    expect(await next).toBe(2);
  });

  it('refuses who would wait behind too many, with the time to come back', async () => {
    wait(1, 'a', 2);
    wait(2, 'a', 2);
    const fault = await wait(3, 'a', 2).catch((thrown: Fault) => thrown as Fault);
    expect(fault).toMatchObject({ reason: 'QUEUE_FULL', code: 8, retryable: true });
    expect((fault as Fault).retryAfterMs).toBe(1000);
    expect(room.size).toBe(2);
  });

  it('asks to come back after the time that half the line will take, as measured', async () => {
    for (let n = 0; n < 10; n++) {
      const entered = wait(n);
      slots = 1;
      clock.advance(100);
      room.lookAgain();
      await entered;
    }
    for (let n = 0; n < 10; n++) void wait(n);
    const fault = (await wait(11, 'a', 10).catch((thrown) => thrown)) as Fault;
    expect(fault.retryAfterMs).toBeGreaterThan(350);
    expect(fault.retryAfterMs).toBeLessThan(600);
  });

  it('forgets after half a minute how fast a line was', async () => {
    const entered = wait(0);
    slots = 1;
    clock.advance(100);
    room.lookAgain();
    await entered;
    clock.advance(3_600_000);
    void wait(1, 'a', 2);
    void wait(2, 'a', 2);
    const fault = (await wait(3, 'a', 2).catch((thrown) => thrown)) as Fault;
    expect(fault.retryAfterMs).toBe(1000);
  });

  it.each([0, 0.999])('never asks to come back sooner than in 50 ms or later than in 10 s (chance %f)', async (chance) => {
    const patient = new WaitingRoom<number>(clock, () => chance);
    const hint = async (line: string, length: number) => {
      for (let n = 0; n < length; n++) void bounded(patient, line, length, look(n), never);
      const fault = (await bounded(patient, line, length, look(length), never).catch((thrown) => thrown)) as Fault;
      return fault.retryAfterMs;
    };
    expect(await hint('none', 0)).toBe(50);
    expect(await hint('long', 100)).toBe(10_000);
  });

  it('lets go of a waiter that is aborted, at once and with its reason', async () => {
    const leave = new AbortController();
    const waiting = wait(1, 'a', 10, leave.signal);
    leave.abort(new Fault('CANCELLED', 'the client left'));
    expect(room.size).toBe(0);
    await expect(waiting).rejects.toMatchObject({ reason: 'CANCELLED' });
    slots = 1;
    room.lookAgain();
    expect(order).toEqual([]);
    expect(slots).toBe(1);
  });

  it('takes in nobody who is aborted already', async () => {
    await expect(wait(1, 'a', 10, AbortSignal.abort(new Fault('CANCELLED', 'gone')))).rejects.toMatchObject({
      reason: 'CANCELLED',
    });
    expect(room.size).toBe(0);
  });

  it('passes on a refusal, and goes on behind it', async () => {
    const refused = room.wait('a', () => ({ type: 'refused', fault: new Fault('NO_NODE', 'gone') }), never);
    const next = wait(2);
    slots = 1;
    room.lookAgain();
    await expect(refused).rejects.toMatchObject({ reason: 'NO_NODE' });
    expect(await next).toBe(2);
  });
});

type Step = 'arrive' | 'leave' | 'free' | 'take' | 'look';

describe('whatever happens in whatever order', () => {
  it('nobody is lost or let in twice, no slot is lost, and everybody gets in or out in the end', async () => {
    const steps = fc.array(fc.constantFrom<Step>('arrive', 'arrive', 'leave', 'free', 'take', 'look'), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(steps, fc.integer(), async (sequence, seed) => {
        const random = seeded(seed);
        const clock = new FakeClock();
        const room = new WaitingRoom<number>(clock, random);
        const waiting = new Map<number, AbortController>();
        const done = new Map<number, string>();
        const all: Promise<void>[] = [];
        let slots = 1;
        let inside = 0;
        let next = 0;
        for (const step of sequence) {
          clock.advance(Math.floor(random() * 100));
          if (step === 'arrive') {
            const n = next++;
            const leave = new AbortController();
            waiting.set(n, leave);
            const end = (how: string) => {
              expect(done.has(n)).toBe(false);
              done.set(n, how);
              waiting.delete(n);
            };
            const look = (): Look<number> => {
              if (slots === 0) return { type: 'busy' };
              slots--;
              inside++;
              return { type: 'admitted', value: n };
            };
            all.push(
              bounded(room, `line ${n % 3}`, 4, look, leave.signal).then(
                () => end('in'),
                (fault: Fault) => end(fault.reason),
              ),
            );
          } else if (step === 'leave') {
            [...waiting.values()].at(Math.floor(random() * waiting.size))?.abort(new Fault('CANCELLED', 'left'));
          } else if (step === 'free' && inside > 0) {
            inside--;
            slots++;
            room.lookAgain();
          } else if (step === 'take' && slots > 0) {
            slots--;
            inside++;
          } else if (step === 'look') room.lookAgain();
          expect(slots + inside).toBe(1);
          await Promise.resolve();
        }
        for (let i = 0; i < sequence.length + 1; i++) {
          if (inside > 0) {
            inside--;
            slots++;
          }
          room.lookAgain();
          await Promise.resolve();
        }
        await Promise.all(all);
        expect(done.size).toBe(next);
        expect(room.size).toBe(0);
      }),
      { numRuns: 500 },
    );
  });
});
