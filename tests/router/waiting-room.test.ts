import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { Fault } from '../../proto/contract/faults.ts';
import { PRIORITIES } from '../../router/admit/line.ts';
import type { Look, Who } from '../../router/admit/waiting-room.ts';
import { WaitingRoom } from '../../router/admit/waiting-room.ts';
import { FakeClock, seeded } from '../support/clock.ts';

const never = new AbortController().signal;

const anyone: Who = {
  tenant: '',
  priority: 'normal',
  cost: 100,
  migrating: false,
  deadlineAt: Number.POSITIVE_INFINITY,
  firstTokenMs: 0,
};

/** As whoever calls a waiting room keeps its lines: nobody waits where `most` others do, unless one of them has to go. */
function bounded<T>(room: WaitingRoom<T>, line: string, most: number, look: () => Look<T>, signal: AbortSignal, who = anyone) {
  return room.hasRoom(line, most, who) ? room.wait(line, who, look, signal, most) : Promise.reject(room.full(line));
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
    const stuck = room.wait('stuck', anyone, () => ({ type: 'busy' }), never);
    const other = wait(7, 'other');
    slots = 1;
    room.lookAgain();
    expect(await other).toBe(7);
    expect(room.size).toBe(1);
    stuck.catch(() => {});
  });

  it('lets its lines take turns, however long one of them is', async () => {
    for (const n of [1, 2, 3, 4]) void wait(n, 'long');
    void wait(5, 'other');
    for (let n = 0; n < 4; n++) {
      void wait(10 + n, 'long', 100);
      slots = 1;
      room.lookAgain();
    }
    expect(order).toEqual([1, 5, 2, 3]);
  });

  it('costs one look for each line when nothing is free, however many wait, and one more for each that gets in', () => {
    let looks = 0;
    const counted = (): Look<number> => {
      looks++;
      return look(looks)();
    };
    for (let n = 0; n < 1000; n++) void room.wait(`line ${n % 3}`, { ...anyone, tenant: `tenant ${n % 50}` }, counted, never);
    room.lookAgain();
    expect(looks).toBe(3);
    slots = 4;
    room.lookAgain();
    expect(looks).toBe(3 + 4 + 3);
    expect(room.size).toBe(996);
  });

  it('ends a waiter whose look is a defect, and goes on behind it', async () => {
    const look = () => {
      throw new TypeError('x');
    };
    const broken = room.wait('a', anyone, look, never);
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
    const refused = room.wait('a', anyone, () => ({ type: 'refused', fault: new Fault('NO_NODE', 'gone') }), never);
    const next = wait(2);
    slots = 1;
    room.lookAgain();
    await expect(refused).rejects.toMatchObject({ reason: 'NO_NODE' });
    expect(await next).toBe(2);
  });
});

describe('streams that lost their node', () => {
  const clock = new FakeClock();
  let room: WaitingRoom<string>;
  let order: string[];
  /** Who gets in when looking. */
  let lucky: (name: string) => boolean;

  beforeEach(() => {
    room = new WaitingRoom(clock, () => 0.5);
    order = [];
    lucky = () => false;
  });

  const enter = (name: string, line: string, migrating: boolean) =>
    void room.wait(
      line,
      { ...anyone, migrating },
      () => {
        if (!lucky(name)) return { type: 'busy' };
        order.push(name);
        return { type: 'admitted', value: name };
      },
      never,
    );

  it('go before everybody, in every line', () => {
    enter('a1', 'a', false);
    enter('b1', 'b', false);
    enter('b2', 'b', true);
    enter('a2', 'a', true);
    lucky = () => true;
    room.lookAgain();
    expect(order).toEqual(['a2', 'b2', 'a1', 'b1']);
  });

  it('hold up nobody while they wait for a node of their own', () => {
    enter('resuming', 'a', true);
    enter('new', 'a', false);
    lucky = (name) => name === 'new';
    room.lookAgain();
    expect(order).toEqual(['new']);
    expect(room.size).toBe(1);
  });

  it('do not hold up each other either: within a few looks each has looked', () => {
    for (let n = 0; n < 20; n++) enter(`s${n}`, 'a', true);
    lucky = (name) => name === 's17';
    for (let n = 0; n < 3; n++) room.lookAgain();
    expect(order).toEqual(['s17']);
  });
});

describe('a line that is full', () => {
  const clock = new FakeClock();
  let room: WaitingRoom<string>;
  let ends: string[];

  beforeEach(() => {
    room = new WaitingRoom(clock, () => 0.5);
    ends = [];
  });

  const enter = async (name: string, tenant: string, priority: Who['priority'] = 'normal') => {
    const who = { ...anyone, tenant, priority };
    await bounded(room, 'm', 4, () => ({ type: 'busy' }), never, who).catch(({ reason }: Fault) =>
      ends.push(`${name} ${reason}`),
    );
  };
  const settled = () => new Promise((resolve) => setImmediate(resolve));

  it('refuses one more of the tenant that fills it', async () => {
    for (const n of [1, 2, 3, 4, 5]) void enter(`a${n}`, 'a');
    await settled();
    expect(ends).toEqual(['a5 QUEUE_FULL']);
    expect(room.size).toBe(4);
  });

  it('makes room for another tenant, up to an equal share, at the cost of who came last of those with the most', async () => {
    for (const n of [1, 2, 3, 4]) void enter(`a${n}`, 'a');
    for (const n of [1, 2, 3]) void enter(`b${n}`, 'b');
    await settled();
    expect(ends.toSorted()).toEqual(['a3 QUEUE_FULL', 'a4 QUEUE_FULL', 'b3 QUEUE_FULL']);
    expect(room.size).toBe(4);
  });

  it("makes room for a tenant's own request of a higher priority", async () => {
    void enter('a1', 'a', 'low');
    void enter('a2', 'a', 'low');
    for (const n of [3, 4]) void enter(`a${n}`, 'a');
    void enter('a5', 'a', 'high');
    void enter('a6', 'a', 'low');
    void enter('a7', 'a', 'normal');
    void enter('a8', 'a', 'normal');
    await settled();
    expect(ends.toSorted()).toEqual(['a1 QUEUE_FULL', 'a2 QUEUE_FULL', 'a6 QUEUE_FULL', 'a8 QUEUE_FULL']);
  });
});

describe('a waiter whose deadline comes', () => {
  let clock: FakeClock;
  let room: WaitingRoom<number>;

  beforeEach(() => {
    clock = new FakeClock();
    room = new WaitingRoom(clock, () => 0.5);
  });

  const enter = (deadlineMs: number, firstTokenMs: number, look = (): Look<number> => ({ type: 'busy' })) => {
    const state = { end: '' };
    const who = { ...anyone, deadlineAt: clock.now() + deadlineMs, firstTokenMs };
    void room.wait('m', who, look, never).then(
      () => (state.end = 'in'),
      ({ reason }: Fault) => (state.end = reason),
    );
    return state;
  };
  const settled = () => new Promise((resolve) => setImmediate(resolve));

  it('is refused when its first token could not come before it any more', async () => {
    const late = enter(5000, 2000);
    const patient = enter(60_000, 2000);
    clock.advance(3000);
    await settled();
    expect(late.end).toBe('');
    clock.advance(250);
    await settled();
    expect(late.end).toBe('DEADLINE_EXCEEDED');
    expect(patient.end).toBe('');
    expect(room.size).toBe(1);
  });

  it('is refused when the line moves so slowly that even twice as fast would not do', async () => {
    let slots = 0;
    const look = (): Look<number> => {
      if (slots === 0) return { type: 'busy' };
      slots--;
      return { type: 'admitted', value: 1 };
    };
    const all = Array.from({ length: 60 }, () => enter(20_000, 0, look));
    for (let n = 0; n < 5; n++) {
      clock.advance(1000);
      slots = 1;
      room.lookAgain();
    }
    clock.advance(250);
    await settled();
    // 15 s are left at one a second: the last of those who remain has somewhat less than 30 before it.
    const refused = all.filter(({ end }) => end === 'DEADLINE_EXCEEDED').length;
    expect(refused).toBeGreaterThan(20);
    expect(refused).toBeLessThan(30);
    expect(all.slice(0, 5).every(({ end }) => end === 'in')).toBe(true);
    expect(all.slice(5, 30).every(({ end }) => end === '')).toBe(true);
  });

  it('is not refused by a guess while nobody has left the line', async () => {
    const all = Array.from({ length: 60 }, () => enter(5000, 0));
    clock.advance(4000);
    await settled();
    expect(all.every(({ end }) => end === '')).toBe(true);
  });

  it('leaves no timer behind', async () => {
    const waiting = enter(1000, 500);
    expect(clock.pending).toBe(1);
    clock.advance(1000);
    await settled();
    expect(waiting.end).toBe('DEADLINE_EXCEEDED');
    expect(clock.pending).toBe(0);
  });
});

type Step = 'arrive' | 'leave' | 'free' | 'take' | 'look';

const oneOf = <T>(all: readonly T[], random: () => number) => all[Math.floor(random() * all.length)] as T;

const whoever = (random: () => number): Who => ({
  ...anyone,
  tenant: oneOf(['', 'a', 'b'], random),
  priority: oneOf(PRIORITIES, random),
  cost: oneOf([1, 100, 5000], random),
  migrating: random() < 0.2,
});

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
              bounded(room, `line ${n % 3}`, 4, look, leave.signal, whoever(random)).then(
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
        expect(clock.pending).toBe(0);
      }),
      { numRuns: 500 },
    );
  });
});
