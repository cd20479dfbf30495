import { expect, test } from 'vitest';
import { parseReplayPath, ReplayBackend, replaySeed, replayText, replayToken } from '../../../nodes/backends/replay.ts';
import { backendContract } from '../../contract/backend.ts';
import { jobOf, loadOptions, Recorder } from '../../contract/jobs.ts';

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
  expect(sink.deltas[7]).toEqual({ seq: 7, tokens: 1, text: replayToken(replaySeed(job.messages), 7) });
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

test('a thousand requests keep their rate on little processor time', async () => {
  const backend = await open('replay:rate=50', 1000);
  const before = process.cpuUsage();
  const start = performance.now();
  const sinks = Array.from({ length: 1000 }, (_, index) => {
    const sink = new CountingSink();
    backend.generate(jobOf(`prompt ${index}`, { maxTokens: 100 }), sink);
    return sink;
  });
  await Promise.all(sinks.map((sink) => sink.ended));
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(before);
  expect(sinks.every((sink) => sink.tokens === 100)).toBe(true);
  expect(seconds).toBeGreaterThan(1.9);
  expect(seconds).toBeLessThan(4);
  // Microseconds per token.
  expect((user + system) / 100_000).toBeLessThan(15);
  await backend.dispose();
});

test.each(['rate=50', 'replay:rate', 'replay:rate=-1', 'replay:rate=NaN', 'replay:length=0', 'replay:speed=3'])(
  'the path %s is refused',
  (path) => {
    expect(() => parseReplayPath(path)).toThrow(/received/);
  },
);

test('a path without options means as fast as possible', () => {
  expect(parseReplayPath('replay:')).toEqual({ rate: 0, length: 1e9 });
  expect(parseReplayPath('replay:rate=2.5,length=7')).toEqual({ rate: 2.5, length: 7 });
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
