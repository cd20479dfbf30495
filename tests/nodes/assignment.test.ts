import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Assignment } from '../../nodes/assignment.ts';
import { finish } from '../../nodes/backends/job-run.ts';
import { FrameWriter } from '../../nodes/frame.ts';
import type { Ended, Progress } from '../../proto/gen/infermesh/v1/link.ts';
import { Work } from '../../proto/gen/infermesh/v1/link.ts';
import { FinishReason } from '../../proto/gen/infermesh/v1/types.ts';
import type { WorkEvent } from '../../telemetry/events.ts';
import { CANCELLED, FakeEngine, NO_TIMINGS } from './fakes.ts';

const CREDIT = 20;
const DEADLINE_MS = 1000;
const LONG = 'x'.repeat(2 * CREDIT);
const DONE = finish(FinishReason.FINISH_REASON_STOP, { inputTokens: 1, outputTokens: 2, cachedInputTokens: 0 });

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

/** An assignment with credit for one piece, whose engine's words are the test's. */
function begin(more: Partial<Work> = {}) {
  const engine = new FakeEngine();
  const sent: Progress[] = [];
  const frames = new FrameWriter((progress) => sent.push(progress));
  const told: WorkEvent[] = [];
  const onOver = vi.fn();
  const work = Work.fromPartial({ request: 7, epoch: 3, creditBytes: CREDIT, deadlineMs: DEADLINE_MS, ...more });
  const watch = { tell: (event: WorkEvent) => told.push(event) };
  const assignment = new Assignment({ work, generate: engine.generate, frames, watch, onOver });
  const { job, sink, asked } = engine.jobs[0]!;
  sink.prefilling(0);
  const flushed = () => {
    frames.flush();
    return sent;
  };
  return {
    assignment,
    job,
    sink,
    asked,
    onOver,
    told,
    /** Positions of the pieces that left. */
    pieces: () => flushed().flatMap(({ seq }) => seq),
    ends: (): Ended[] => flushed().flatMap(({ ended }) => ended),
  };
}

const failed = (reason: string) => ({ request: 7, epoch: 3, outcome: { $case: 'failure', value: { reason } } });

describe('an assignment without credit', () => {
  it('holds the engine and what it gave, and goes on when credit comes', () => {
    const { assignment, sink, asked, pieces, ends, onOver } = begin();
    sink.delta(0, 1, LONG);
    sink.delta(1, 1, 'y');
    expect([pieces(), asked]).toEqual([[0], ['pause']]);
    assignment.credit(10 * CREDIT);
    expect([pieces(), asked]).toEqual([
      [0, 1],
      ['pause', 'resume'],
    ]);
    sink.end(DONE, 2, NO_TIMINGS);
    expect(ends()).toMatchObject([{ tokens: 2, outcome: { $case: 'finish' } }]);
    expect(onOver).toHaveBeenCalledOnce();
  });

  it('ends behind its last piece, also when that takes the last of the credit', () => {
    const { assignment, sink, pieces, ends, onOver } = begin();
    sink.delta(0, 1, LONG);
    sink.delta(1, 1, LONG);
    sink.end(DONE, 2, NO_TIMINGS);
    expect(ends()).toEqual([]);
    assignment.credit(2 * CREDIT);
    expect([pieces(), ends()]).toMatchObject([[0, 1], [{ outcome: { $case: 'finish' } }]]);
    expect(onOver).toHaveBeenCalledOnce();
  });
});

describe('a cancelled assignment', () => {
  it('ends without credit, whatever was still on its way from the engine', () => {
    const { assignment, sink, asked, pieces, ends, onOver } = begin();
    sink.delta(0, 1, LONG);
    sink.delta(1, 1, 'held');
    assignment.cancel();
    sink.delta(2, 1, 'on its way');
    expect(onOver).not.toHaveBeenCalled();
    sink.end(CANCELLED, 3, NO_TIMINGS);
    expect(asked).toContain('cancel');
    expect([pieces(), ends()]).toMatchObject([[0], [failed('CANCELLED')]]);
    expect(onOver).toHaveBeenCalledOnce();
  });

  it('whose engine had ended does not claim that its answer is whole', () => {
    const { assignment, sink, ends, onOver } = begin();
    sink.delta(0, 1, LONG);
    sink.delta(1, 1, 'held');
    sink.end(DONE, 2, NO_TIMINGS);
    assignment.cancel();
    assignment.cancel();
    expect(ends()).toMatchObject([failed('CANCELLED')]);
    expect(onOver).toHaveBeenCalledOnce();
  });
});

describe('a deadline that passes', () => {
  it('stops the engine and waits for no credit', () => {
    const { sink, asked, pieces, ends, onOver, told } = begin();
    sink.delta(0, 1, LONG);
    sink.delta(1, 1, 'held');
    vi.advanceTimersByTime(DEADLINE_MS);
    expect(asked).toEqual(['pause', 'cancel']);
    sink.delta(2, 1, 'on its way');
    sink.end(CANCELLED, 3, NO_TIMINGS);
    expect([pieces(), ends()]).toMatchObject([[0], [failed('DEADLINE_EXCEEDED')]]);
    expect(told.at(-1)).toMatchObject({ type: 'ended', reason: 'DEADLINE_EXCEEDED' });
    expect(onOver).toHaveBeenCalledOnce();
  });

  it('ends also an answer that is complete and waits for credit that never comes', () => {
    const { sink, ends, onOver } = begin();
    sink.delta(0, 1, LONG);
    sink.delta(1, 1, 'held');
    sink.end(DONE, 2, NO_TIMINGS);
    vi.advanceTimersByTime(DEADLINE_MS - 1);
    expect(onOver).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(ends()).toMatchObject([failed('DEADLINE_EXCEEDED')]);
    expect(onOver).toHaveBeenCalledOnce();
  });
});

describe('an assignment that goes on with an answer', () => {
  const delivered = { model: 'm', tokenizerDigest: 'sha256:ab', tokens: 40, text: 'forty tokens', tokenIds: [] };

  it('gives the engine what was delivered, and counts it', () => {
    const { job, sink, pieces, ends } = begin({ delivered });
    expect(job.delivered).toMatchObject({ tokens: 40, text: 'forty tokens', tokenIds: [] });
    sink.delta(40, 2, 'x');
    sink.end(DONE, 42, NO_TIMINGS);
    expect(pieces()).toEqual([40]);
    expect(ends()).toMatchObject([{ tokens: 42 }]);
  });

  it('counts it also when nothing came', () => {
    const { sink, ends } = begin({ delivered });
    sink.end(CANCELLED, 40, NO_TIMINGS);
    expect(ends()).toMatchObject([{ tokens: 40 }]);
  });

  it('begins at the beginning where nothing was delivered', () => {
    const { job, sink } = begin({ delivered: { ...delivered, tokens: 0, text: '' } });
    expect(job.delivered).toBeUndefined();
    sink.end(DONE, 0, NO_TIMINGS);
  });
});

describe('an assignment that is handed back', () => {
  it('ends at once, before the engine has stopped and without credit', () => {
    const { assignment, sink, asked, pieces, ends, onOver, told } = begin();
    sink.delta(0, 1, LONG);
    sink.delta(1, 1, 'held');
    assignment.handBack();
    expect(asked).toContain('cancel');
    expect([pieces(), ends()]).toMatchObject([[0], [failed('DRAINING')]]);
    sink.delta(2, 1, 'on its way');
    sink.end(CANCELLED, 3, NO_TIMINGS);
    assignment.handBack();
    expect([pieces(), ends()]).toMatchObject([[0], [failed('DRAINING')]]);
    expect(onOver).toHaveBeenCalledOnce();
    expect(told.filter(({ type }) => type === 'ended')).toMatchObject([{ reason: 'DRAINING', tokens: 3 }]);
  });

  it('stays cancelled where nobody wants its answer', () => {
    const { assignment, ends, sink } = begin();
    assignment.cancel();
    assignment.handBack();
    expect(ends()).toMatchObject([failed('CANCELLED')]);
    sink.end(CANCELLED, 0, NO_TIMINGS);
    expect(ends()).toHaveLength(1);
  });
});

it('of which a server wants to hear again later ends with the time, in whole milliseconds', () => {
  const { sink, ends } = begin();
  sink.end({ type: 'failure', reason: 'QUEUE_FULL', message: 'enough', retryAfterMs: 400.2 }, 0, NO_TIMINGS);
  const value = { code: 8, reason: 'QUEUE_FULL', message: 'enough', retryAfterMs: 401 };
  expect(ends()).toMatchObject([{ outcome: { $case: 'failure', value } }]);
});
