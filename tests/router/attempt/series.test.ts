import { describe, expect, it } from 'vitest';
import type { Reason } from '../../../proto/contract/faults.ts';
import { Fault } from '../../../proto/contract/faults.ts';
import { ChatResponse } from '../../../proto/gen/infermesh/v1/inference.ts';
import { Ended } from '../../../proto/gen/infermesh/v1/link.ts';
import { FinishReason } from '../../../proto/gen/infermesh/v1/types.ts';
import { framed, messagesOf } from '../../../proto/transport/framing.ts';
import type { Admitted, Wish } from '../../../router/admit/admission.ts';
import { Kept } from '../../../router/attempt/kept.ts';
import { Pacing } from '../../../router/attempt/pacing.ts';
import { Series } from '../../../router/attempt/series.ts';
import { Sweep } from '../../../router/attempt/sweep.ts';
import { Cut } from '../../../router/cut.ts';
import type { Identified } from '../../../router/request.ts';
import { Tally } from '../../../router/tally.ts';
import type { RequestEvent } from '../../../telemetry/events.ts';
import { FakeClock } from '../../support/clock.ts';
import type { FakeLink } from '../fakes.ts';
import { FakeStream, fakeLink } from '../fakes.ts';
import { candidate, classification } from '../select/builders.ts';

/** Two nodes of one model, and one request with what it takes to run it. */
class World {
  readonly clock = new FakeClock();
  readonly tally = new Tally();
  readonly stream = new FailingStream();
  readonly cut = new Cut(this.stream.asStream(), this.clock, () => {});
  readonly told: RequestEvent[] = [];
  readonly wishes: Wish[] = [];
  readonly hedges: Wish[] = [];
  readonly verdicts: string[] = [];
  readonly links = new Map<string, FakeLink>(['a', 'b', 'c'].map((id) => [id, fakeLink(id)]));
  readonly freed: string[] = [];
  /** Which nodes want to be left alone, and for how long. */
  readonly rests: [string, number][] = [];
  /** Whose provider charges for what is given up. */
  readonly charging = new Set<string>();
  readonly pacing = new Pacing(this.clock, () => false);
  /** Where the next attempts go, in their order; an error refuses one. */
  next: (string | Fault)[] = ['b', 'c'];
  spare: string | undefined;
  readonly series: Series;

  constructor() {
    const { clock, tally, cut, told } = this;
    const trial = {
      succeeded: () => void this.verdicts.push('succeeded'),
      failed: (kind: string) => void this.verdicts.push(kind),
      neutral: () => void this.verdicts.push('neutral'),
      [Symbol.dispose]: () => {},
    };
    this.series = new Series(
      { clock, tally, random: () => 0.5, sweep: new Sweep(clock), pacing: this.pacing, trials: { started: () => trial } },
      {
        request: REQUEST,
        stream: this.stream.asStream(),
        cut,
        deadlineAt: 120_000,
        watch: { wantsContent: false, tell: (event) => void told.push(event), traceparent: () => '', traceId: () => '' },
        kept: new Kept(),
        resumption: undefined,
        opening: () => OPENING,
        admit: async (wish) => {
          this.wishes.push(wish);
          const next = this.next.shift();
          if (next === undefined || next instanceof Fault) throw next ?? new Fault('NO_NODE', 'nobody is left');
          return this.admitted(next);
        },
        admitNow: (wish) => {
          this.hedges.push(wish);
          return this.spare === undefined ? undefined : this.admitted(this.spare);
        },
        hasOther: () => true,
      },
    );
  }

  admitted(node: string): Admitted {
    const { link } = this.links.get(node) as FakeLink;
    const model = { name: 'm', tokenizerDigest: 'sha256:t', billsAfterDisconnect: this.charging.has(node) };
    const chosen = { candidate: candidate(node, model), estimate: { firstTokenMs: 100 } };
    const free = () => void this.freed.push(node);
    const rests = (ms: number) => void this.rests.push([node, ms]);
    const claim = { link, delivered: () => {}, rests, [Symbol.dispose]: free };
    return { claim, chosen, decision: {}, ask: {}, [Symbol.dispose]: free } as unknown as Admitted;
  }

  run() {
    const answer = this.series.run(this.admitted('a'));
    answer.catch(() => {});
    return answer;
  }

  work(node: string) {
    const { link, frames } = this.links.get(node) as FakeLink;
    const work = frames('work').at(-1);
    if (!work) throw new Error(`${node} has no work`);
    const { request, epoch } = work;
    return {
      work,
      cancels: () => frames('cancel').length,
      piece: (seq: number, text: string) => {
        const data = framed(
          ChatResponse.encode({ event: { $case: 'delta', value: { seq, tokens: 1, text, tokenIds: [seq + 100] } } }).finish(),
        );
        link.progress({ request: [request], epoch: [epoch], seq: [seq], tokens: [1], size: [data.length], data, ended: [] });
      },
      finish: (tokens: number) => {
        const value = {
          reason: FinishReason.FINISH_REASON_STOP,
          usage: { inputTokens: 3, outputTokens: tokens, cachedInputTokens: 0 },
        };
        const ended = Ended.fromPartial({ request, epoch, tokens, outcome: { $case: 'finish', value } });
        link.progress({ request: [], epoch: [], seq: [], tokens: [], size: [], data: Buffer.alloc(0), ended: [ended] });
      },
      fail: (reason: Reason, tokens = 0, retryAfterMs = 0) => {
        const value = { code: 14, reason, message: 'so', retryAfterMs };
        const ended = Ended.fromPartial({ request, epoch, tokens, outcome: { $case: 'failure', value } });
        link.progress({ request: [], epoch: [], seq: [], tokens: [], size: [], data: Buffer.alloc(0), ended: [ended] });
      },
      die: () => link.close(new Fault('NODE_LOST', 'the connection was lost'), () => {}),
    };
  }

  /** Lets what has been promised happen, and pauses pass. */
  async settle(ms = 0): Promise<void> {
    await new Promise(setImmediate);
    this.clock.advance(ms);
    await new Promise(setImmediate);
  }

  text(): string {
    while (this.stream.take());
    const all = Buffer.concat(this.stream.taken);
    return messagesOf(all.subarray(all.indexOf(OPENING) + OPENING.length))
      .map((message) => ChatResponse.decode(message).event)
      .map((event) => (event?.$case === 'delta' ? `${event.value.seq}${event.value.text}` : ''))
      .join(' ');
  }

  types(): string[] {
    return this.told.map((event) => event.type);
  }
}

class FailingStream extends FakeStream {
  failed: Fault | undefined;
  fail(fault: Fault): void {
    this.failed ??= fault;
  }
}

const OPENING = framed(Buffer.from('opening'));
const REQUEST = {
  id: 'r',
  chat: { messages: [], sampling: undefined, stop: [], jsonSchema: '' },
  needs: { classification: classification({ complexity: 'simple' }) },
  maxTokens: 100,
  arrivedAt: 0,
  deadlineAt: 120_000,
} as unknown as Identified;

describe('a request whose node has enough for now', () => {
  it('goes to another, and the node is left alone for as long as it says', async () => {
    const world = new World();
    const answer = world.run();
    world.work('a').fail('QUEUE_FULL', 0, 1500);
    await world.settle(200);
    world.work('b').finish(0);
    await answer;
    expect(world.rests).toEqual([['a', 1500]]);
    expect(world.verdicts).toEqual(['neutral', 'succeeded']);
  });

  it('is told when to come back where there is no other', async () => {
    const world = new World();
    world.next = [];
    const answer = world.run();
    world.work('a').fail('QUEUE_FULL', 0, 1500);
    await world.settle(200);
    await expect(answer).rejects.toMatchObject({ reason: 'QUEUE_FULL', retryAfterMs: 1500 });
  });
});

describe('a request whose node dies', () => {
  it('in the middle goes on at another behind what was delivered, as one stream', async () => {
    const world = new World();
    const answer = world.run();
    const a = world.work('a');
    a.piece(0, 'x');
    a.piece(1, 'y');
    a.die();
    await world.settle();
    expect(world.wishes).toMatchObject([{ resumption: { model: 'm', tokenizerDigest: 'sha256:t' } }]);
    const b = world.work('b');
    expect(b.work.delivered).toEqual({ model: 'm', tokenizerDigest: 'sha256:t', tokens: 2, text: 'xy', tokenIds: [100, 101] });
    expect(b.work).toMatchObject({ epoch: 2, maxTokens: 100 });
    b.piece(2, 'z');
    b.finish(3);
    expect(await answer).toMatchObject({ migrations: 1, ended: { tokens: 3 }, finish: { usage: { outputTokens: 3 } } });
    expect(world.text()).toBe('0x 1y 2z');
    expect(world.types()).toEqual([
      ...['attempt_started', 'first_token', 'attempt_ended'],
      ...['migrated', 'attempt_started', 'first_token', 'attempt_ended'],
    ]);
    expect(world.verdicts).toEqual(['transport', 'succeeded']);
    expect(world.freed).toEqual(['a', 'b']);
    expect(world.tally).toMatchObject({ tokensRelayed: 3, migrations: 1, attemptsOpen: 0 });
    expect(world.clock.pending).toBe(0);
  });

  it('before its first token is tried again elsewhere after 20 to 200 ms, and moves nothing', async () => {
    const world = new World();
    const answer = world.run();
    world.work('a').die();
    await world.settle(19);
    expect(world.wishes).toEqual([]);
    await world.settle(200);
    expect(world.wishes).toMatchObject([{ resumption: undefined }]);
    expect([...(world.wishes[0] as Wish).failed.keys()]).toEqual(['a']);
    world.work('b').piece(0, 'x');
    world.work('b').finish(1);
    expect(await answer).toMatchObject({ migrations: 0 });
    expect(world.text()).toBe('0x');
  });

  it('hears why it failed, not that nobody else is there', async () => {
    const world = new World();
    world.next = [];
    const answer = world.run();
    world.work('a').piece(0, 'x');
    world.work('a').die();
    await expect(answer).rejects.toMatchObject({ reason: 'NODE_LOST' });
  });

  it('twice without progress is suspected of it', async () => {
    const world = new World();
    const answer = world.run();
    world.work('a').die();
    await world.settle(200);
    world.work('b').die();
    await expect(answer).rejects.toMatchObject({ reason: 'POISON_SUSPECTED' });
    expect(world.series.poisonous).toBe(true);
    expect(world.wishes).toHaveLength(1);
  });
});

describe('a request whose node falls silent', () => {
  it('goes on elsewhere after 8 times the gap that its rates make expected, and what the silent one still says goes nowhere', async () => {
    const world = new World();
    const answer = world.run();
    const a = world.work('a');
    a.piece(0, 'x');
    await world.settle(650);
    expect(world.wishes).toEqual([]);
    await world.settle(100);
    expect(a.cancels()).toBe(1);
    const b = world.work('b');
    b.piece(1, 'y');
    a.piece(1, 'LATE');
    b.piece(2, 'z');
    expect(world.freed, 'its slot is taken until its engine has stopped').toEqual([]);
    a.fail('CANCELLED', 1);
    b.finish(3);
    expect(await answer).toMatchObject({ migrations: 1 });
    expect(world.text()).toBe('0x 1y 2z');
    expect(world.freed).toEqual(['a', 'b']);
    expect(world.verdicts).toEqual(['stall', 'succeeded']);
  });
});

describe('a request whose node gives it back', () => {
  it('goes on elsewhere, and that is nobody’s failure', async () => {
    const world = new World();
    const answer = world.run();
    world.work('a').piece(0, 'x');
    world.work('a').fail('DRAINING', 1);
    await world.settle();
    world.work('b').piece(1, 'y');
    world.work('b').finish(2);
    expect(await answer).toMatchObject({ migrations: 1 });
    expect(world.verdicts).toEqual(['neutral', 'succeeded']);
  });
});

describe('a slow first token', () => {
  const slowWorld = () => {
    const world = new World();
    const { chosen } = world.admitted('a');
    for (let n = 0; n < 1000; n++) world.pacing.request();
    for (let n = 0; n < 50; n++) world.pacing.firstToken(REQUEST, chosen, 100);
    world.spare = 'b';
    return world;
  };

  it('is not raced where its provider would charge for both', async () => {
    const world = slowWorld();
    world.charging.add('a');
    const answer = world.run();
    await world.settle(150);
    expect(world.hedges).toEqual([]);
    world.work('a').finish(0);
    await answer;
  });

  it('is raced by another node, and the slower of the two is cancelled', async () => {
    const world = slowWorld();
    const answer = world.run();
    await world.settle(150);
    // Whoever charges for what is given up is not asked to race.
    expect(world.hedges).toMatchObject([{ hedge: true }]);
    const [a, b] = [world.work('a'), world.work('b')];
    b.piece(0, 'x');
    expect(a.cancels()).toBe(1);
    a.piece(0, 'LATE');
    b.piece(1, 'y');
    a.fail('CANCELLED');
    b.finish(2);
    expect(await answer).toMatchObject({ migrations: 0, admitted: { claim: { link: { id: 'b' } } } });
    expect(world.text()).toBe('0x 1y');
    expect(world.freed).toEqual(['a', 'b']);
    expect(world.verdicts).toEqual(['neutral', 'succeeded']);
    expect(world.clock.pending).toBe(0);
  });

  it('that comes before the other is the answer', async () => {
    const world = slowWorld();
    const answer = world.run();
    await world.settle(150);
    world.work('a').piece(0, 'x');
    expect(world.work('b').cancels()).toBe(1);
    world.work('b').fail('CANCELLED');
    world.work('a').finish(1);
    expect(await answer).toMatchObject({ admitted: { claim: { link: { id: 'a' } } } });
  });

  it('whose node dies is left to the one that races it', async () => {
    const world = slowWorld();
    const answer = world.run();
    await world.settle(150);
    world.work('a').die();
    await world.settle(200);
    expect(world.wishes).toEqual([]);
    world.work('b').piece(0, 'x');
    world.work('b').finish(1);
    expect(await answer).toMatchObject({ migrations: 0 });
  });

  it('is not raced when the first token has come', async () => {
    const world = slowWorld();
    const answer = world.run();
    world.work('a').piece(0, 'x');
    await world.settle(500);
    expect(() => world.work('b')).toThrow('b has no work');
    world.work('a').finish(1);
    await answer;
  });
});

describe('a request that is cut', () => {
  it('is told so at once, and over when its engine has stopped', async () => {
    const world = new World();
    const answer = world.run();
    const a = world.work('a');
    a.piece(0, 'x');
    let over = false;
    void answer.catch(() => {
      over = true;
    });
    world.cut.abort(new Fault('CANCELLED', 'the client left'));
    expect(world.stream.failed).toMatchObject({ reason: 'CANCELLED' });
    expect(a.cancels()).toBe(1);
    await world.settle();
    expect(over).toBe(false);
    a.fail('CANCELLED', 1);
    await expect(answer).rejects.toMatchObject({ reason: 'CANCELLED' });
    expect(world.verdicts).toEqual(['neutral']);
    expect(world.wishes).toEqual([]);
  });

  it('during the pause before a retry is over at once', async () => {
    const world = new World();
    const answer = world.run();
    world.work('a').die();
    await world.settle();
    world.cut.abort(new Fault('DEADLINE_EXCEEDED', 'too late'));
    await expect(answer).rejects.toMatchObject({ reason: 'DEADLINE_EXCEEDED' });
    expect(world.clock.pending).toBe(0);
  });
});
