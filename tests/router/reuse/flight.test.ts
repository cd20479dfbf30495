import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Reason } from '../../../proto/contract/faults.ts';
import { Fault } from '../../../proto/contract/faults.ts';
import { Started } from '../../../proto/gen/infermesh/v1/inference.ts';
import { WINDOW_BYTES } from '../../../router/attempt/attempt.ts';
import { Kept } from '../../../router/attempt/kept.ts';
import type { Flight } from '../../../router/reuse/flight.ts';
import { Flights } from '../../../router/reuse/flight.ts';
import type { Generation } from '../../../router/reuse/generation.ts';
import type { Member, Turn } from '../../../router/reuse/member.ts';
import { FakeClock } from '../../support/clock.ts';
import { CLOSING, FakeClient, FINISHED, OPENING, piece } from './fakes.ts';

const STARTED = Started.fromPartial({ requestId: 'first', model: 'm', tokenizerDigest: 't' });
const gone = (reason: Reason = 'CANCELLED') => new Fault(reason, 'gone');

let clock: FakeClock;
let flights: Flights;
beforeEach(() => {
  clock = new FakeClock();
  flights = new Flights();
});

interface Joined {
  readonly flight: Flight;
  readonly member: Member;
  readonly client: FakeClient;
  readonly turns: Turn['type'][];
}

function join(name = 'a', deadlineAt = 1000): Joined {
  const client = new FakeClient();
  const closing = () => ({ finished: CLOSING, trailers: {} });
  const { flight, member } = flights.join(name, { stream: client, clock, deadlineAt, opening: () => OPENING, closing });
  const turns: Turn['type'][] = [];
  const follow = async () => {
    for (let turn = await member.next(); ; turn = await member.next()) {
      turns.push(turn.type);
      if (turn.type !== 'lead') return;
    }
  };
  void follow();
  return { flight, member, client, turns };
}

/** What a leader does: a generation behind what there is. */
class Generating {
  readonly generation: Generation;
  readonly #kept: Kept;
  readonly #flight: Flight;
  seq: number;

  constructor({ flight, member }: Joined) {
    const resumption = flight.resumption(0);
    this.#flight = flight;
    this.#kept = new Kept(resumption?.delivered);
    this.seq = resumption?.delivered.tokens ?? 0;
    this.generation = flight.begin(member, this.#kept);
  }

  /** Nothing of what it gave is missing. */
  get isKept(): boolean {
    return this.#kept.isWhole;
  }

  gives(tokens = 1, text?: string): void {
    this.#flight.started ??= STARTED;
    for (let i = 0; i < tokens; i++) {
      const data = piece(this.seq++, 1, text);
      this.#kept.take(data);
      this.generation.write(data);
    }
  }
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));
const whole = (tokens: number) => ['started', ...Array.from({ length: tokens }, (_, seq) => `<${seq}>`), 'finished'];

describe('a flight', () => {
  it('is led by the first, and followed by those who ask the same', async () => {
    const [first, second, other] = [join('a'), join('a'), join('b')];
    await settled();
    expect([first.turns, second.turns, other.turns]).toEqual([['lead'], [], ['lead']]);
    expect(flights.size).toBe(2);
  });

  it('gives all of the answer to everybody, also to who comes in the middle', async () => {
    const first = join();
    const generating = new Generating(first);
    generating.gives(3);
    const late = join();
    generating.gives(2);
    first.flight.finished(FINISHED);
    await settled();
    expect([first.client.events, late.client.events]).toEqual([whole(5), whole(5)]);
    expect([first.turns, late.turns]).toEqual([['lead', 'finished'], ['finished']]);
    expect(flights.size).toBe(0);
  });

  it('is over for newcomers once it is finished, whoever still reads', () => {
    const first = join();
    new Generating(first).gives(1);
    first.flight.finished(FINISHED);
    expect(flights.has('a')).toBe(false);
  });

  it('goes on without its leader, and ends when the last has left', async () => {
    const [first, second] = [join(), join()];
    const generating = new Generating(first);
    let cancelled = 0;
    generating.generation.onGone = () => cancelled++;
    generating.gives(1);
    first.member.leave(gone());
    generating.gives(1);
    expect(second.client.events).toEqual(['started', '<0>', '<1>']);
    expect(cancelled).toBe(0);
    second.member.leave(gone());
    await settled();
    expect(cancelled).toBe(1);
    expect([first.turns, second.turns]).toEqual([['lead', 'failed'], ['failed']]);
    expect(flights.size).toBe(0);
  });

  it('is held up by the fastest reader only', () => {
    const [first, second] = [join(), join()];
    const generating = new Generating(first);
    const { generation } = generating;
    generating.gives(40, 'x'.repeat(1000));
    expect(generation.held).toBeGreaterThanOrEqual(WINDOW_BYTES);
    let released = 0;
    generation.onRelease = () => released++;
    for (let i = 0; i < 5; i++) second.client.take();
    expect(released).toBeGreaterThan(0);
    expect(generation.held).toBe(0);
    expect(first.client.held).toBeLessThan(2 * WINDOW_BYTES);
    released = 0;
    first.client.take();
    expect(released).toBe(0);
    second.member.leave(gone());
    expect(generation.held).toBeGreaterThanOrEqual(WINDOW_BYTES);
    first.client.take();
    expect(released).toBe(1);
  });

  it.each(['CANCELLED', 'DEADLINE_EXCEEDED', 'QUOTA_EXCEEDED', 'SLOW_CONSUMER'] as const)(
    'whose leader fails for its own reason, %s, is led by who has most time, behind what there is',
    async (reason) => {
      const first = join('a', 10);
      const [short, long] = [join('a', 20), join('a', 30)];
      new Generating(first).gives(3);
      first.flight.failed(gone(reason), first.member);
      await settled();
      expect([first.turns, short.turns, long.turns]).toEqual([['lead', 'failed'], [], ['lead']]);
      expect(first.client.fault?.reason).toBe(reason);
      expect(first.flight.resumption(7)).toMatchObject({ model: 'm', tokenizerDigest: 't', delivered: { tokens: 3 }, since: 7 });
      const again = new Generating(long);
      again.gives(2);
      long.flight.finished(FINISHED);
      await settled();
      expect([short.client.events, long.client.events]).toEqual([whole(5), whole(5)]);
    },
  );

  it('that fails with the mesh is tried once more for all, then fails for all', async () => {
    const [first, second, third] = [join('a', 1), join('a', 2), join('a', 3)];
    first.flight.failed(gone('NODE_LOST'), first.member);
    await settled();
    expect(third.turns).toEqual(['lead']);
    third.flight.failed(gone('NODE_LOST'), third.member);
    await settled();
    expect([first.turns, second.turns, third.turns]).toEqual([['lead', 'failed'], ['failed'], ['lead', 'failed']]);
    expect(second.client.fault?.reason).toBe('NODE_LOST');
    expect(flights.size).toBe(0);
  });

  it('fails for all at once where nobody could do better', async () => {
    const [first, second] = [join(), join()];
    first.flight.failed(gone('POISON_SUSPECTED'), first.member);
    await settled();
    expect([first.turns, second.turns]).toEqual([['lead', 'failed'], ['failed']]);
  });

  it('hears nothing more of a generation that was given up', async () => {
    const [first, second] = [join('a', 1), join('a', 2)];
    const former = new Generating(first);
    first.flight.failed(gone(), first.member);
    await settled();
    new Generating(second).gives(1);
    former.generation.fail(gone('NODE_LOST'));
    await settled();
    expect(second.turns).toEqual(['lead']);
    expect(second.client.fault).toBeUndefined();
  });

  it('knows what went to a member, also what two generations gave', async () => {
    const [first, second] = [join('a', 1), join('a', 2)];
    new Generating(first).gives(2);
    first.flight.failed(gone(), first.member);
    await settled();
    new Generating(second).gives(2);
    expect(second.member.reader.soFar()).toEqual(Buffer.concat([OPENING, piece(0), piece(1), piece(2), piece(3)]));
  });

  it('may get an answer that was found elsewhere, as generated for none of them', async () => {
    const [first, second] = [join(), join()];
    first.flight.adopt(STARTED, Buffer.concat([piece(0), piece(1)]), FINISHED);
    await settled();
    expect([first.client.events, second.client.events]).toEqual([whole(2), whole(2)]);
  });

  it('whose answer grew too long to be kept takes nobody in, and is not gone on with by another', async () => {
    const [first, second] = [join('a', 1), join('a', 2)];
    const generating = new Generating(first);
    const taking = () => [first, second].map(({ client }) => client.take());
    for (const text = 'x'.repeat(WINDOW_BYTES); generating.isKept; taking()) generating.gives(1, text);
    const tokens = generating.seq;
    const late = join();
    expect(late.flight).not.toBe(first.flight);
    await settled();
    expect(late.turns).toEqual(['lead']);
    expect([first.member.reader.isWhole, second.member.reader.isWhole]).toEqual([false, false]);
    expect(second.client.events).toHaveLength(1 + tokens);
    first.flight.failed(gone('DEADLINE_EXCEEDED'), first.member);
    await settled();
    expect([first.turns, second.turns]).toEqual([['lead', 'failed'], ['failed']]);
    expect(first.client.fault?.reason).toBe('DEADLINE_EXCEEDED');
    expect(second.client.fault?.reason).toBe('STREAM_NOT_RESUMABLE');
  });

  it('gives every member that stays exactly the answer, whoever comes, leaves, fails or reads slowly', async () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ do: fc.constant('give' as const), n: fc.integer({ min: 1, max: 4 }) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('join' as const), n: fc.integer({ min: 1, max: 99 }) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('leave' as const), n: fc.nat(20) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('take' as const), n: fc.nat(20) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('fail' as const), n: fc.constant(0) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        flights = new Flights();
        const all: Joined[] = [join()];
        const left = new Set<Joined>();
        let leader = all[0] as Joined;
        let generating = new Generating(leader);
        const flight = leader.flight;
        for (const { do: what, n } of steps) {
          if (flight.isOver) break;
          const one = all[n % all.length] as Joined;
          if (what === 'give') generating.gives(n, 'y'.repeat(3000));
          else if (what === 'join') all.push(join('a', n));
          else if (what === 'take') one.client.take();
          else if (what === 'leave') {
            left.add(one);
            one.member.leave(gone());
          } else {
            left.add(leader);
            flight.failed(gone('DEADLINE_EXCEEDED'), leader.member);
            await settled();
            const next = all.find(({ turns }) => turns.length === 1 && turns[0] === 'lead');
            if (!next) break;
            leader = next;
            generating = new Generating(leader);
          }
        }
        const tokens = generating.seq;
        flight.started ??= STARTED;
        if (!flight.isOver) flight.finished(FINISHED);
        for (let i = 0; i < 200; i++) for (const { client } of all) client.take();
        await settled();
        const expected = ['started', ...Array.from({ length: tokens }, () => 'y'.repeat(3000)), 'finished'];
        for (const one of all) {
          if (left.has(one)) expect(one.turns.at(-1)).toBe('failed');
          else {
            expect(one.client.events).toEqual(expected);
            expect(one.turns.at(-1)).toBe('finished');
          }
        }
        expect(flights.size).toBe(0);
        expect(flight.members).toBe(0);
      }),
      { numRuns: 200 },
    );
  });
});
