import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { ChildEngine, REAL_DEPS } from '../../../nodes/engine/child-engine.ts';
import type { Engine, EngineState } from '../../../nodes/engine/engine.ts';
import { createEngine } from '../../../nodes/engine/index.ts';
import { backendContract } from '../../contract/backend.ts';
import { jobOf, loadOptions, Recorder } from '../../contract/jobs.ts';

const stories = loadOptions({
  path: fileURLToPath(new URL('../../../nodes/models/bundled/stories-15m-q8_0.gguf', import.meta.url)),
});
const slow = loadOptions({ path: 'replay:rate=200' });
/** After so long without a word of it a load is taken to hang. */
const SILENT_LOAD_MS = 600_000;

async function subject(engine: Engine) {
  const model = await engine.start();
  return {
    model,
    generate: engine.generate.bind(engine),
    currentLoad: engine.currentLoad.bind(engine),
    dispose: engine.dispose.bind(engine),
  };
}

backendContract('llama.cpp in a child process', {
  open: (slots) => subject(createEngine('llama-cpp', { ...stories, slots })),
});
backendContract('replay in a child process', {
  open: (slots) => subject(createEngine('replay', loadOptions({ path: 'replay:rate=500' }, slots), { forceChild: true })),
  noJsonSchema: 'replay has no grammar',
  ignoresSeed: 'an answer follows from the prompt alone',
});
backendContract('replay as an engine in this process', {
  open: (slots) => subject(createEngine('replay', loadOptions({ path: 'replay:rate=500' }, slots))),
  noJsonSchema: 'replay has no grammar',
  ignoresSeed: 'an answer follows from the prompt alone',
});

function stateOf<T extends EngineState['type']>(engine: Engine, type: T): Promise<Extract<EngineState, { type: T }>> {
  return new Promise((resolve) => {
    const unsubscribe = engine.onState((state) => {
      if (state.type !== type) return;
      unsubscribe();
      resolve(state as Extract<EngineState, { type: T }>);
    });
  });
}

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe('an engine in a child process', () => {
  let engine: ChildEngine;
  afterEach(() => engine.dispose());

  test.each([
    ['llama-cpp', stories],
    ['replay', slow],
  ] as const)('of %s survives a kill: sinks end with ENGINE_CRASHED, then it serves again', async (backend, options) => {
    engine = new ChildEngine(backend, options, { random: () => 0 });
    await engine.start();
    const sinks = Array.from({ length: 6 }, () => new Recorder());
    for (const sink of sinks) engine.generate(jobOf('Once upon a time', { maxTokens: 200 }), sink);
    await sinks[0]!.reached(3);
    const crashed = stateOf(engine, 'crashed');
    const ready = stateOf(engine, 'ready');
    process.kill(engine.pid!, 'SIGKILL');

    expect(await crashed).toEqual({ type: 'crashed', message: "the engine's process ended with SIGKILL", restartInMs: 125 });
    const ends = await Promise.all(sinks.map((sink) => sink.ended));
    expect(ends.map((end) => end.outcome)).toEqual(
      ends.map(() => ({ type: 'failure', reason: 'ENGINE_CRASHED', message: "the engine's process ended with SIGKILL" })),
    );
    expect(ends[0]!.tokens).toBe(sinks[0]!.tokens);
    expect(engine.currentLoad()).toEqual({ running: 0, queued: 0, queuedPromptTokens: 0, kvCacheUse: 0 });
    const early = new Recorder();
    engine.generate(jobOf('too early'), early);
    expect((await early.ended).outcome).toMatchObject({ reason: 'ENGINE_CRASHED' });

    await ready;
    expect(engine.crashes).toBe(1);
    const again = new Recorder();
    engine.generate(jobOf('Once upon a time', { maxTokens: 5 }), again);
    expect(await again.ended).toMatchObject({ outcome: { type: 'finish' }, tokens: 5 });
    expect(sinks.map((sink) => sink.ends)).toEqual(sinks.map(() => 1));
  });

  test('is what replay gets when a prompt can end its process, and the node lives on', async () => {
    const made = createEngine('replay', loadOptions({ path: 'replay:rate=200,poison=1' }), { random: () => 0 });
    engine = made as ChildEngine;
    await engine.start();
    const victim = new Recorder();
    const poisoned = new Recorder();
    engine.generate(jobOf('hello', { maxTokens: 200 }), victim);
    await victim.reached(1);
    engine.generate(jobOf('POISON'), poisoned);
    const ends = await Promise.all([victim.ended, poisoned.ended]);
    for (const { outcome } of ends) expect(outcome).toMatchObject({ reason: 'ENGINE_CRASHED' });
    await stateOf(engine, 'ready');
    expect(engine.crashes).toBe(1);
  });

  test('waits longer after each crash in a row, and not after it has recovered', async () => {
    let now = 0;
    const waits: number[] = [];
    const after = (ms: number, call: () => void) => {
      if (ms === SILENT_LOAD_MS) return () => {};
      waits.push(ms);
      const immediate = setImmediate(call);
      return () => clearImmediate(immediate);
    };
    engine = new ChildEngine('replay', slow, { random: () => 0, now: () => now, after });
    await engine.start();
    for (const served of [0, 0, 0, 60_000, 0]) {
      now += served;
      const ready = stateOf(engine, 'ready');
      process.kill(engine.pid!, 'SIGKILL');
      await ready;
    }
    expect(waits).toEqual([125, 250, 500, 125, 250]);
    expect(engine.crashes).toBe(5);
  });

  test('a load that fails the first time rejects start and is not tried again', async () => {
    engine = new ChildEngine('replay', loadOptions({ path: 'replay:rate=fast' }));
    await expect(engine.start()).rejects.toMatchObject({
      reason: 'ENGINE_FAILED',
      message: expect.stringMatching(/rate.*received fast/),
    });
    expect(engine.state).toEqual({ type: 'disposed' });
  });

  test('a child that dies in its first load rejects start', async () => {
    engine = new ChildEngine('llama-cpp', stories);
    const started = engine.start();
    process.kill(engine.pid!, 'SIGKILL');
    await expect(started).rejects.toMatchObject({
      reason: 'ENGINE_FAILED',
      message: expect.stringMatching(/SIGKILL while it loaded/),
    });
  });

  test.each([
    ['the first time fails for good', false],
    ['after a crash is tried again', true],
  ])('a load that hangs %s', async (_, wasReady) => {
    const watches: { readonly call: () => void; stopped: boolean }[] = [];
    const after = (ms: number, call: () => void) => {
      if (ms !== SILENT_LOAD_MS) return REAL_DEPS.after(ms, call);
      const watch = { call, stopped: false };
      watches.push(watch);
      return () => {
        watch.stopped = true;
      };
    };
    engine = new ChildEngine('replay', slow, { random: () => 0, after });
    const hang = () => {
      process.kill(engine.pid!, 'SIGSTOP');
      watches.at(-1)?.call();
    };
    const started = engine.start();
    const message = 'the engine has told nothing of its load for 600 s';
    if (wasReady) {
      await started;
      const loading = stateOf(engine, 'loading');
      process.kill(engine.pid!, 'SIGKILL');
      await loading;
      const ready = stateOf(engine, 'ready');
      // Its child is forked once those who watch have heard of it.
      await nextTurn();
      hang();
      expect(engine.state).toMatchObject({ type: 'crashed', message });
      await ready;
    } else {
      const { pid } = engine;
      hang();
      await expect(started).rejects.toMatchObject({ reason: 'ENGINE_FAILED', message });
      await engine.dispose();
      expect(isAlive(pid!)).toBe(false);
    }
    expect(watches.every(({ stopped }) => stopped)).toBe(true);
  });

  test('can be disposed while it loads, and start then rejects', async () => {
    engine = new ChildEngine('llama-cpp', stories);
    const started = engine.start();
    const { pid } = engine;
    await Promise.all([expect(started).rejects.toMatchObject({ reason: 'ENGINE_FAILED' }), engine.dispose()]);
    expect(isAlive(pid!)).toBe(false);
  });

  test('can be disposed before it was started', async () => {
    engine = new ChildEngine('replay', slow);
    await engine.dispose();
    expect(engine.state).toEqual({ type: 'disposed' });
  });

  test('dispose between a crash and the restart cancels the restart', async () => {
    engine = new ChildEngine('replay', slow);
    await engine.start();
    const crashed = stateOf(engine, 'crashed');
    process.kill(engine.pid!, 'SIGKILL');
    await crashed;
    await engine.dispose();
    expect([engine.pid, engine.state.type]).toEqual([undefined, 'disposed']);
  });

  test('leaves signals of the terminal to its parent', async () => {
    engine = new ChildEngine('replay', slow);
    await engine.start();
    const sink = new Recorder();
    engine.generate(jobOf('x', { maxTokens: 40 }), sink);
    await sink.reached(1);
    process.kill(engine.pid!, 'SIGINT');
    process.kill(engine.pid!, 'SIGTERM');
    expect((await sink.ended).outcome.type).toBe('finish');
    expect(engine.crashes).toBe(0);
  });

  test('is gone when dispose resolves', async () => {
    engine = new ChildEngine('llama-cpp', stories);
    await engine.start();
    const { pid } = engine;
    const sink = new Recorder();
    engine.generate(jobOf('Once upon a time', { maxTokens: 200 }), sink);
    await sink.reached(1);
    await engine.dispose();
    expect(isAlive(pid!)).toBe(false);
    expect(sink.ends).toBe(1);
  });

  test('a frozen child is killed when its time to leave is over', async () => {
    const { promise, resolve } = Promise.withResolvers<() => void>();
    engine = new ChildEngine('replay', slow, {
      after: (ms, call) => {
        if (ms !== SILENT_LOAD_MS) resolve(call);
        return () => {};
      },
    });
    await engine.start();
    process.kill(engine.pid!, 'SIGSTOP');
    const disposed = engine.dispose();
    (await promise)();
    await disposed;
  });
});

test('the child ends when its parent is killed', async () => {
  const parent = fork(fileURLToPath(new URL('parent.ts', import.meta.url)), [], {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const [pid] = (await once(parent, 'message')) as [number];
  expect(isAlive(pid)).toBe(true);
  parent.kill('SIGKILL');
  await once(parent, 'exit');
  await expect.poll(() => isAlive(pid), { interval: 20 }).toBe(false);
});
