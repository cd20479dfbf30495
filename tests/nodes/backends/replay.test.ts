import { describe, expect, test, vi } from 'vitest';
import type { Job } from '../../../nodes/backends/backend.ts';
import { ReplayBackend, replaySeed, replayText, replayToken } from '../../../nodes/backends/replay.ts';
import { parseReplayPath } from '../../../nodes/backends/replay-options.ts';
import { backendContract } from '../../contract/backend.ts';
import { deliveredAfter, jobOf, loadOptions, Recorder } from '../../contract/jobs.ts';

async function open(path: string, slots: number, contextLength = 512) {
  const backend = new ReplayBackend();
  const model = await backend.load(loadOptions({ path, contextLength }, slots), () => {});
  return Object.assign(backend, { model });
}

backendContract('replay in this process', {
  open: (slots) => open('replay:rate=500', slots),
  noJsonSchema: 'replay has no grammar',
  ignoresSeed: 'an answer follows from the prompt alone',
});

test('replay gives exactly the text that a checker computes', async () => {
  const backend = await open('replay:', 1);
  const sink = new Recorder();
  const job = jobOf('any prompt', { maxTokens: 100 });
  backend.generate(job, sink);
  await sink.ended;
  expect(sink.text).toBe(replayText(job.messages, 100));
  expect(sink.deltas[7]).toMatchObject({ seq: 7, tokens: 1, text: replayToken(replaySeed(job.messages), 7) });
  await backend.dispose();
});

test('replay ends the turn after its length', async () => {
  const backend = await open('replay:length=12', 1);
  const sink = new Recorder();
  backend.generate(jobOf('x', { maxTokens: 100 }), sink);
  expect(await sink.ended).toMatchObject({ outcome: { type: 'finish', reason: 1, usage: { outputTokens: 12 } }, tokens: 12 });
  await backend.dispose();
});

test('replay heeds a pause between two tokens of one turn', async () => {
  const backend = await open('replay:', 1);
  const sink = new Recorder();
  const run = backend.generate(jobOf('x', { maxTokens: 100 }), {
    prefilling: () => sink.prefilling(),
    delta: (seq, tokens, text) => {
      sink.delta(seq, tokens, text);
      if (seq === 4) run.pause();
    },
    end: (...end) => sink.end(...end),
  });
  await sink.reached(5);
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  expect(sink.tokens).toBe(5);
  run.resume();
  await sink.ended;
  expect(sink.tokens).toBe(100);
  await backend.dispose();
});

test('a thousand requests keep their rate', async () => {
  const backend = await open('replay:rate=50', 1000);
  const start = performance.now();
  const sinks = Array.from({ length: 1000 }, (_, index) => {
    const sink = new CountingSink();
    backend.generate(jobOf(`prompt ${index}`, { maxTokens: 100 }), sink);
    return sink;
  });
  await Promise.all(sinks.map((sink) => sink.ended));
  const seconds = (performance.now() - start) / 1000;
  expect(sinks.every((sink) => sink.tokens === 100)).toBe(true);
  expect(seconds).toBeGreaterThan(1.9);
  await backend.dispose();
});

test.each([
  'rate=50',
  'replay:rate',
  'replay:rate=-1',
  'replay:rate=NaN',
  'replay:length=0',
  'replay:prefill=2000000',
  'replay:poison=2',
  'replay:wedge=-1',
  'replay:stall=some',
  'replay:speed=3',
])('the path %s is refused', (path) => {
  expect(() => parseReplayPath(path)).toThrow(/received/);
});

test('a path without options means as fast as possible, and no faults', () => {
  const faultless = { prefill: 0, poison: 0, wedge: 1e9, stall: 1e9, embed: 0 };
  expect(parseReplayPath('replay:')).toEqual({ rate: 0, length: 1e9, ...faultless });
  expect(parseReplayPath('replay:rate=2.5,length=7')).toEqual({ rate: 2.5, length: 7, ...faultless });
  expect(parseReplayPath('replay:prefill=1000,poison=1,wedge=3,stall=0')).toMatchObject({
    prefill: 1000,
    poison: 1,
    wedge: 3,
    stall: 0,
  });
});

describe('what replay is told to do for chaos runs', () => {
  /** Long enough for an engine without a rate to give hundreds of tokens. */
  const aMoment = () => new Promise((resolve) => setTimeout(resolve, 30));

  test('reads a prompt, and what was delivered with it, at its own rate', async () => {
    const backend = await open('replay:prefill=1000', 1);
    const took = async (job: Job) => {
      const sink = new Recorder(job.delivered?.tokens);
      const start = performance.now();
      backend.generate(job, sink);
      const { timings } = await sink.ended;
      expect(timings.prefillMs).toBeLessThanOrEqual(performance.now() - start);
      return { ms: timings.prefillMs, sink };
    };
    const job = jobOf('x'.repeat(400), { maxTokens: 50 });
    const whole = await took(job);
    expect(whole.ms).toBeGreaterThanOrEqual(100);
    expect((await took(jobOf('y', { maxTokens: 1 }))).ms).toBeLessThan(whole.ms);
    const delivered = deliveredAfter(whole.sink, 40);
    expect((await took({ ...job, delivered })).ms).toBeGreaterThanOrEqual(140);
    await backend.dispose();
  });

  test('ends its process at a poisoned prompt, before the first token', async () => {
    const die = vi.fn();
    const backend = new ReplayBackend(die);
    await backend.load(loadOptions({ path: 'replay:poison=1' }, 1), () => {});
    const harmless = new Recorder();
    backend.generate(jobOf('poison in small letters', { maxTokens: 3 }), harmless);
    await harmless.ended;
    expect(die).not.toHaveBeenCalled();
    const sink = new Recorder();
    backend.generate(jobOf('a POISONED cup', { maxTokens: 3 }), sink);
    await sink.ended;
    expect(die).toHaveBeenCalledOnce();
    expect(sink.tokens).toBe(0);
    await backend.dispose();
  });

  test('gives nothing any more once it has answered so often, and heeds a cancel all the same', async () => {
    const backend = await open('replay:wedge=2', 2);
    for (const prompt of ['one', 'two']) {
      const sink = new Recorder();
      backend.generate(jobOf(prompt), sink);
      expect((await sink.ended).outcome.type).toBe('finish');
    }
    const sink = new Recorder();
    const run = backend.generate(jobOf('three'), sink);
    await sink.began;
    await aMoment();
    expect([sink.tokens, backend.currentLoad().running]).toEqual([0, 1]);
    run.cancel();
    expect((await sink.ended).outcome).toMatchObject({ reason: 'CANCELLED' });
    expect(backend.currentLoad().running).toBe(0);
    await backend.dispose();
  });

  test('stands still after so many tokens of each job, also of one that goes on with an answer', async () => {
    const backend = await open('replay:stall=7', 2);
    const sink = new Recorder();
    const run = backend.generate(jobOf('x', { maxTokens: 100 }), sink);
    await sink.reached(7);
    await aMoment();
    expect(sink.tokens).toBe(7);
    const resumed = new Recorder(7);
    const other = backend.generate(jobOf('x', { maxTokens: 100, delivered: deliveredAfter(sink, 7) }), resumed);
    await resumed.reached(7);
    await aMoment();
    expect([resumed.tokens, resumed.outOfOrder]).toEqual([7, 0]);
    expect(sink.text + resumed.text).toBe(replayText(jobOf('x').messages, 14));
    for (const each of [run, other]) each.cancel();
    await Promise.all([sink.ended, resumed.ended]);
    await backend.dispose();
  });
});

test('replay does not go on behind a text that is not the beginning of its answer', async () => {
  const backend = await open('replay:', 1);
  const whole = new Recorder();
  backend.generate(jobOf('x'), whole);
  await whole.ended;
  const delivered = { ...deliveredAfter(whole, 7), tokens: 8 };
  const sink = new Recorder();
  backend.generate(jobOf('x', { delivered }), sink);
  expect((await sink.ended).outcome).toMatchObject({ reason: 'INVALID_REQUEST', message: expect.stringContaining('token 7') });
  await backend.dispose();
});

class CountingSink {
  tokens = 0;
  readonly #end = Promise.withResolvers<void>();
  readonly ended = this.#end.promise;
  prefilling() {}
  delta(_seq: number, tokens: number) {
    this.tokens += tokens;
  }
  end() {
    this.#end.resolve();
  }
}
