/** A server outside of the process that comes, goes and comes back, as the node sees it. */
import { afterEach, expect, test } from 'vitest';
import type { EngineState } from '../../../nodes/engine/engine.ts';
import type { Engine } from '../../../nodes/engine/index.ts';
import { createEngine } from '../../../nodes/engine/index.ts';
import { jobOf, loadOptions, Recorder } from '../../contract/jobs.ts';
import { FakeOllama } from '../../support/ollama-server.ts';

let engine: Engine;
afterEach(() => engine.dispose());

const AT_ONCE = {
  random: () => 0,
  after: (_: number, call: () => void) => {
    const soon = setImmediate(call);
    return () => clearImmediate(soon);
  },
};

function engineOf(url: string, model = 'qwen2.5:0.5b'): Engine {
  const options = loadOptions({ path: '', contextLength: 512 }, 2);
  return createEngine('ollama', { ...options, ollama: { url, model, keepAlive: '5m' } }, AT_ONCE);
}

function reached(type: EngineState['type']): Promise<EngineState> {
  return new Promise((resolve) => {
    const unsubscribe = engine.onState((state) => {
      if (state.type !== type) return;
      unsubscribe();
      resolve(state);
    });
  });
}

test('a server that is started after the node is waited for', async () => {
  const first = await FakeOllama.start();
  const { url, port } = first;
  await first[Symbol.asyncDispose]();
  engine = engineOf(url);
  const ready = engine.start();
  const crashed = await reached('crashed');
  expect(crashed).toMatchObject({ message: expect.stringContaining('ECONNREFUSED'), restartInMs: expect.any(Number) });
  await using _ = await FakeOllama.start({ port });
  expect(await ready).toMatchObject({ engine: 'ollama', slots: 2 });
  expect(engine.crashes).toBeGreaterThan(0);
});

test('a server that dies ends what ran with ENGINE_CRASHED, and is found again when it is back', async () => {
  const first = await FakeOllama.start({ rate: 100 });
  const { port } = first;
  engine = engineOf(first.url);
  await engine.start();
  const sink = new Recorder();
  engine.generate(jobOf('Once upon a time', { maxTokens: 400 }), sink);
  await sink.reached(3);
  const crashed = reached('crashed');
  await first[Symbol.asyncDispose]();
  expect((await sink.ended).outcome).toMatchObject({ type: 'failure', reason: 'ENGINE_CRASHED' });
  expect(await crashed).toMatchObject({ message: expect.stringContaining('no Ollama answers') });
  const after = new Recorder();
  engine.generate(jobOf('Too soon'), after);
  expect((await after.ended).outcome).toMatchObject({ reason: 'ENGINE_CRASHED' });
  const back = reached('ready');
  await using _ = await FakeOllama.start({ port });
  await back;
  const again = new Recorder();
  engine.generate(jobOf('Once upon a time', { maxTokens: 4 }), again);
  expect((await again.ended).outcome.type).toBe('finish');
});

test('a runner that dies takes its answer along and not the node', async () => {
  await using ollama = await FakeOllama.start();
  engine = engineOf(ollama.url);
  await engine.start();
  ollama.answer(
    '/api/chat',
    (_, response) =>
      response
        .writeHead(500, { 'Content-Type': 'application/json' })
        .end('{"error":"llama runner process has terminated"}') as never,
  );
  const sink = new Recorder();
  engine.generate(jobOf('x'), sink);
  expect((await sink.ended).outcome).toMatchObject({ reason: 'ENGINE_CRASHED' });
  ollama.answer('/api/chat');
  const next = new Recorder();
  engine.generate(jobOf('x', { maxTokens: 2 }), next);
  expect((await next.ended).outcome.type).toBe('finish');
  expect(engine.state.type).toBe('ready');
});

test('a server that takes no more while it is measured is asked again, and no sooner than it says', async () => {
  await using ollama = await FakeOllama.start();
  ollama.answer(
    '/api/chat',
    (_, response) => response.writeHead(429, { 'Retry-After': '40' }).end('{"error":"too many requests"}') as never,
  );
  engine = engineOf(ollama.url);
  const ready = engine.start();
  expect(await reached('crashed')).toMatchObject({ message: "Ollama's own queue is full", restartInMs: 40_000 });
  ollama.answer('/api/chat');
  expect(await ready).toMatchObject({ engine: 'ollama' });
});

test('a model that nobody has is told at once, and not asked for again', async () => {
  await using ollama = await FakeOllama.start({ installed: [] });
  ollama.answer(
    '/api/pull',
    (_, response) =>
      response
        .writeHead(200, { 'Content-Type': 'application/x-ndjson' })
        .end('{"error":"pull model manifest: file does not exist"}\n') as never,
  );
  engine = engineOf(ollama.url, 'no-such-model');
  await expect(engine.start()).rejects.toMatchObject({ reason: 'ENGINE_FAILED' });
  expect(engine.state.type).toBe('disposed');
});
