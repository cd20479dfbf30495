import { beforeEach, describe, expect, it } from 'vitest';
import { Fault } from '../../../proto/contract/faults.ts';
import { SLOW_CONSUMER_MS, WINDOW_BYTES } from '../../../router/attempt/attempt.ts';
import { Kept } from '../../../router/attempt/kept.ts';
import { Reader } from '../../../router/reuse/reader.ts';
import { PacedRecording } from '../../../router/reuse/recordings.ts';
import { FakeClock } from '../../support/clock.ts';
import { CLOSING, FakeClient, OPENING, piece } from './fakes.ts';

const END = { finished: CLOSING, trailers: {} };

let clock: FakeClock;
let client: FakeClient;
let kept: Kept;
let opening: Buffer | undefined;
let reader: Reader;

beforeEach(() => {
  clock = new FakeClock();
  client = new FakeClient();
  kept = new Kept();
  opening = OPENING;
  reader = new Reader({ stream: client, clock, recording: kept, opening: () => opening });
});

const record = (seq: number, text?: string) => {
  kept.take(piece(seq, 1, text));
  reader.pump();
};

describe('a reader', () => {
  it('gets the opening with the first piece, then each piece, then the end', async () => {
    reader.pump();
    expect(client.events).toEqual([]);
    record(0);
    record(1);
    reader.close(END);
    expect(client.events).toEqual(['started', '<0>', '<1>', 'finished']);
    expect(client.ended).toBe(true);
    expect(await reader.done).toEqual({ type: 'finished' });
  });

  it('gets nothing before it is known who answers', () => {
    opening = undefined;
    record(0);
    expect(client.events).toEqual([]);
    opening = OPENING;
    record(1);
    expect(client.events).toEqual(['started', '<0>', '<1>']);
  });

  it('of a whole answer gets all at once', () => {
    kept.take(piece(0));
    kept.take(piece(1));
    reader.close(END);
    expect(client.events).toEqual(['started', '<0>', '<1>', 'finished']);
  });

  it('of an empty answer gets its opening and its end', () => {
    reader.close(END);
    expect(client.events).toEqual(['started', 'finished']);
  });

  it('that is slow is held no more than a window for, and gets the rest as it takes', async () => {
    const text = 'x'.repeat(4000);
    for (let seq = 0; seq < 20; seq++) record(seq, text);
    reader.close(END);
    expect(client.held).toBeLessThan(2 * WINDOW_BYTES);
    expect(reader.taken).toBeLessThanOrEqual(0);
    expect(kept.length - client.held).toBeGreaterThan(60_000);
    for (let i = 0; i < 20; i++) client.take();
    expect(client.events).toEqual(['started', ...Array.from({ length: 20 }, () => text), 'finished']);
    expect(await reader.done).toEqual({ type: 'finished' });
    expect(clock.pending).toBe(0);
  });

  it('that takes nothing for 30 s leaves', async () => {
    for (let seq = 0; seq < 10; seq++) record(seq, 'x'.repeat(4000));
    clock.advance(SLOW_CONSUMER_MS);
    expect(client.fault?.reason).toBe('SLOW_CONSUMER');
    expect(await reader.done).toMatchObject({ type: 'left', fault: { reason: 'SLOW_CONSUMER' } });
    expect(clock.pending).toBe(0);
  });

  it('that left is given nothing more', () => {
    record(0);
    reader.leave(new Fault('CANCELLED', 'gone'));
    record(1);
    reader.close(END);
    expect(client.events).toEqual(['started', '<0>']);
    expect(client.ended).toBe(false);
  });

  it('knows what went to it', () => {
    record(0);
    expect(reader.soFar()).toEqual(Buffer.concat([OPENING, piece(0)]));
  });

  it('of what can no longer be kept gets it directly, unless it lags behind', () => {
    record(0);
    reader.through(piece(1));
    expect(client.events).toEqual(['started', '<0>', '<1>']);
    kept.take(piece(2));
    reader.through(piece(3));
    expect(client.fault?.reason).toBe('SLOW_CONSUMER');
  });
});

describe('a paced recording', () => {
  it('gives its messages evenly until its time has passed', () => {
    const deltas = Buffer.concat([1, 2, 3, 4].map((seq) => piece(seq)));
    const lengths: number[] = [];
    let ended = 0;
    const paced = new PacedRecording(
      deltas,
      400,
      clock,
      () => lengths.push(paced.length / piece(1).length),
      () => ended++,
    );
    clock.advance(200);
    expect(lengths.at(-1)).toBe(2);
    expect(ended).toBe(0);
    clock.advance(200);
    expect([...new Set(lengths)]).toEqual([0, 1, 2, 3, 4]);
    expect(paced.from(0)).toEqual(deltas);
    expect(ended).toBe(1);
    expect(clock.pending).toBe(0);
  });
});
