import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Fault } from '../../../proto/contract/faults.ts';
import { Ended, Progress } from '../../../proto/gen/infermesh/v1/link.ts';
import { Delivered } from '../../../proto/gen/infermesh/v1/types.ts';
import { framed } from '../../../proto/transport/framing.ts';
import type { Patience } from '../../../router/attempt/attempt.ts';
import { Attempt, CANCEL_LIMIT_MS, SLOW_CONSUMER_MS, WINDOW_BYTES } from '../../../router/attempt/attempt.ts';
import { Kept } from '../../../router/attempt/kept.ts';
import { TICK_MS } from '../../../router/patience/gaps.ts';
import { FakeClock } from '../../support/clock.ts';
import { FakeStream, fakeLink } from '../fakes.ts';

const OPENING = framed(Buffer.from('opening'));
const piece = (bytes: number) => framed(Buffer.alloc(bytes - 5, 'x'));
const ended = (tokens: number) => Ended.fromPartial({ request: 1, epoch: 1, tokens });

const PATIENT: Patience = {
  firstTokenMs: Number.POSITIVE_INFINITY,
  stallMs: () => Number.POSITIVE_INFINITY,
  onSilence: () => {},
  onPassed: () => {},
  mayGiveUp: () => true,
};

function started({ patience = PATIENT, delivered: before = 0, slower = false } = {}) {
  const clock = new FakeClock();
  const stream = new FakeStream();
  const fake = fakeLink();
  const told: string[] = [];
  const delivered: number[] = [];
  const work = { epoch: 1, model: 'm', messages: [], sampling: undefined, maxTokens: 10, stop: [], jsonSchema: '' };
  const attempt = new Attempt({
    link: fake.link,
    stream: stream.asStream(),
    clock,
    work: {
      ...work,
      deadlineMs: 1000,
      traceparent: '',
      canary: false,
      ...(before > 0 ? { delivered: Delivered.fromPartial({ tokens: before }) } : {}),
    },
    kept: new Kept(),
    onFirstToken: () => {
      told.push('first token');
      return slower ? false : OPENING;
    },
    patience,
    onSlowConsumer: () => told.push('slow'),
    onDelivered: (tokens) => delivered.push(tokens),
    onFault: (fault) => told.push(fault.message),
  });
  stream.onRelease = () => attempt.released();
  const drain = () => {
    while (stream.take());
  };
  return { attempt, clock, stream, told, delivered, drain, ...fake };
}

describe('an attempt', () => {
  it('sends its work with a window of credit', () => {
    const { frames } = started();
    expect(frames('work')).toMatchObject([{ request: 1, epoch: 1, model: 'm', creditBytes: WINDOW_BYTES }]);
  });

  it('takes the opening along with the first piece, and each piece as it came', () => {
    const { attempt, drain, stream, told } = started();
    const [a, b] = [piece(20), piece(30)];
    attempt.piece(1, 0, 1, a);
    attempt.piece(1, 1, 2, b);
    drain();
    expect(Buffer.concat(stream.taken)).toEqual(Buffer.concat([OPENING, a, b]));
    expect(told).toEqual(['first token']);
    expect(attempt.tokens).toBe(3);
  });

  it('tells how far it is with the first token and every 32 after', () => {
    const { attempt, delivered } = started();
    for (let n = 0; n < 100; n++) attempt.piece(1, n, 1, piece(10));
    expect(delivered).toEqual([1, 33, 65, 97]);
  });

  it('that another was faster than gives nothing to the client', () => {
    const { attempt, stream, told } = started({ slower: true });
    attempt.piece(1, 0, 1, piece(20));
    expect(told).toEqual(['first token']);
    expect(attempt.tokens).toBe(0);
    expect(stream.held).toBe(0);
  });

  it('goes on behind what was delivered before', () => {
    const { attempt, told, frames } = started({ delivered: 40 });
    expect(frames('work')).toMatchObject([{ delivered: { tokens: 40 } }]);
    attempt.piece(1, 40, 2, piece(20));
    expect(attempt.tokens).toBe(42);
    attempt.piece(1, 0, 1, piece(20));
    expect(told.at(-1)).toMatch(/expected token 42, received 0/);
  });

  describe('that hears nothing', () => {
    const silence = (more: Partial<Patience> = {}) => ({ ...PATIENT, firstTokenMs: 2000, stallMs: () => 700, ...more });
    const tick = (attempt: Attempt, ms: number) => {
      for (let passed = 0; passed < ms; passed += TICK_MS) attempt.tick();
    };

    it('before its first token is given up after the time for that', () => {
      const { attempt, told, frames } = started({ patience: silence() });
      tick(attempt, 1950);
      expect(told).toEqual([]);
      tick(attempt, 50);
      expect(told).toEqual(['node n has not begun to answer for 2000 ms']);
      expect(frames('cancel')).toHaveLength(1);
    });

    it('between two tokens is given up after the shorter time for that, counted anew with each', () => {
      const { attempt, told } = started({ patience: silence() });
      for (let n = 0; n < 5; n++) {
        attempt.piece(1, n, 1, piece(10));
        tick(attempt, 650);
      }
      expect(told).toEqual(['first token']);
      tick(attempt, 100);
      expect(told.at(-1)).toBe('node n has not gone on for 700 ms');
    });

    it('is waited for where nobody else could take it over', () => {
      const { attempt, told } = started({ patience: silence({ mayGiveUp: () => false }) });
      attempt.piece(1, 0, 1, piece(10));
      tick(attempt, 20_000);
      expect(told).toEqual(['first token']);
    });

    it('because its client does not read is not given up', () => {
      const { attempt, told } = started({ patience: silence() });
      attempt.piece(1, 0, 1, piece(WINDOW_BYTES));
      tick(attempt, 20_000);
      expect(told).toEqual(['first token']);
    });

    it('tells its silences and its tokens once they are over', () => {
      const seen: string[] = [];
      const patience = silence({ onSilence: (ticks) => seen.push(`${ticks} ticks`), onPassed: (n) => seen.push(`${n} tokens`) });
      const { attempt } = started({ patience });
      tick(attempt, 500);
      attempt.piece(1, 0, 1, piece(10));
      attempt.piece(1, 1, 2, piece(10));
      tick(attempt, 200);
      attempt.piece(1, 3, 1, piece(10));
      tick(attempt, 50);
      expect(seen).toEqual(['3 tokens', '1 tokens', '3 ticks']);
    });
  });

  it.each<[string, (attempt: Attempt) => void, RegExp]>([
    ['a gap', (attempt) => attempt.piece(1, 1, 1, piece(10)), /expected token 0, received 1/],
    [
      'a piece again',
      (attempt) => {
        attempt.piece(1, 0, 2, piece(10));
        attempt.piece(1, 0, 2, piece(10));
      },
      /expected token 2, received 0/,
    ],
    ['half a message', (attempt) => attempt.piece(1, 0, 1, piece(10).subarray(0, 9)), /not whole messages/],
    ['far more than its credit', (attempt) => attempt.piece(1, 0, 1, piece(2 * WINDOW_BYTES + 1)), /more than its credit/],
  ])('is failed at once by %s, and over when its engine has stopped', async (_name, wrong, says) => {
    const { attempt, frames, link, told } = started();
    let over = false;
    void attempt.result.then(() => {
      over = true;
    });
    wrong(attempt);
    wrong(attempt);
    expect(told.at(-1)).toMatch(says);
    expect(told.filter((what) => what !== 'first token')).toHaveLength(1);
    expect(frames('cancel')).toHaveLength(1);
    await new Promise(setImmediate);
    expect(over).toBe(false);
    link.progress(Progress.fromPartial({ ended: [ended(0)] }));
    expect(await attempt.result).toMatchObject({
      type: 'failed',
      fault: { reason: 'NODE_LOST', message: expect.stringMatching(says) },
    });
  });

  it('is over when its node has not answered a cancel for 10 s, and deaf to what comes after', async () => {
    const { attempt, clock, link } = started();
    attempt.cancel();
    clock.advance(CANCEL_LIMIT_MS - 1);
    expect(link.attempts).toBe(1);
    clock.advance(1);
    expect(await attempt.result).toMatchObject({ type: 'failed', fault: { reason: 'NODE_LOST' } });
    expect(link.attempts).toBe(0);
    link.progress(Progress.fromPartial({ ended: [ended(0)] }));
    expect(clock.pending).toBe(0);
  });

  it('that has ended is not cancelled any more', async () => {
    const { attempt, clock, frames } = started();
    attempt.ended(ended(0));
    attempt.cancel();
    expect(frames('cancel')).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  it('does not make its stalled client keep whole frames of others', () => {
    const { attempt, stream, drain } = started();
    const sent: Buffer[] = [];
    const send = (bytes: number) => {
      const frame = Buffer.alloc(1_000_000);
      const data = frame.subarray(500, 500 + bytes);
      piece(bytes).copy(data);
      sent.push(Buffer.from(data));
      attempt.piece(1, sent.length - 1, 1, data);
    };
    for (let n = 0; n < 15; n++) send(1000);
    drain();
    const late = stream.taken.slice(8);
    for (const data of late) expect(data.buffer.byteLength).toBeLessThanOrEqual(Buffer.poolSize);
    expect(late.length).toBeGreaterThan(5);
    expect(Buffer.concat(stream.taken)).toEqual(Buffer.concat([OPENING, ...sent]));
  });

  it('drops pieces of other epochs, and those after its cancel', () => {
    const { attempt, stream, frames } = started();
    attempt.piece(2, 0, 1, piece(10));
    attempt.piece(0, 5, 1, piece(10));
    attempt.cancel();
    attempt.cancel();
    attempt.piece(1, 0, 1, piece(10));
    expect(stream.held).toBe(0);
    expect(frames('cancel')).toEqual([{ request: 1, epoch: 1 }]);
  });

  it('ends with its node', async () => {
    const { attempt, link } = started();
    link.close(new Fault('NODE_LOST', 'silent for 5000 ms'), () => {});
    expect(await attempt.result).toMatchObject({ type: 'failed', fault: { reason: 'NODE_LOST', facts: { node: 'n' } } });
  });

  it('gives up a client that takes nothing for 30 s, and not one that takes a little', () => {
    const { attempt, clock, stream, told, drain } = started();
    const fill = (seq: number) => attempt.piece(1, seq, 1, piece(WINDOW_BYTES));
    fill(0);
    clock.advance(SLOW_CONSUMER_MS - 1);
    drain();
    clock.advance(SLOW_CONSUMER_MS);
    expect(told).toEqual(['first token']);
    fill(1);
    clock.advance(SLOW_CONSUMER_MS);
    expect(told).toEqual(['first token', 'slow']);
    expect(stream.held).toBeGreaterThan(0);
  });

  it('leaves no timer behind', () => {
    const { attempt, clock } = started();
    attempt.piece(1, 0, 1, piece(WINDOW_BYTES));
    expect(clock.pending).toBe(1);
    attempt.ended(ended(1));
    expect(clock.pending).toBe(0);
  });
});

describe('whatever order pieces and reads come in', () => {
  it('never more than a window is on the way, nothing is lost, and nothing gets stuck', () => {
    const sizes = fc.array(fc.integer({ min: 6, max: 6000 }), { minLength: 1, maxLength: 80 });
    fc.assert(
      fc.property(sizes, fc.array(fc.boolean(), { maxLength: 200 }), (pieces, reads) => {
        const { attempt, stream, frames, drain } = started();
        let sent = 0;
        let seq = 0;
        const credit = () => WINDOW_BYTES + frames('credit').reduce((sum, { bytes }) => sum + bytes, 0) - sent;
        const check = () => {
          // The node may overdraw by the last piece it began, as its own rule allows.
          expect(stream.held + Math.max(0, credit())).toBeLessThanOrEqual(WINDOW_BYTES + 6000 + OPENING.length);
          expect(credit()).toBeLessThanOrEqual(WINDOW_BYTES);
        };
        const send = () => {
          const size = pieces[seq];
          if (size === undefined || credit() <= 0) return;
          const data = piece(size);
          sent += data.length;
          attempt.piece(1, seq++, 1, data);
          check();
        };
        for (const read of reads) {
          if (read) stream.take();
          else send();
          check();
        }
        while (seq < pieces.length) {
          const before = seq;
          drain();
          send();
          expect(seq, 'the node has no credit though the client took everything').toBeGreaterThan(before);
        }
        drain();
        expect(attempt.tokens).toBe(pieces.length);
        expect(Buffer.concat(stream.taken).length).toBe(OPENING.length + sent);
      }),
      { numRuns: 300 },
    );
  });
});
