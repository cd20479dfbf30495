import { fileURLToPath } from 'node:url';
import { describe, expect, test, vi } from 'vitest';
import { LlamaCppEmbeddings } from '../../../nodes/backends/llama-cpp-embeddings.ts';
import { makesVectors } from '../../../nodes/backends/replay-options.ts';
import { replayVector } from '../../../nodes/backends/replay-vectors.ts';
import { ChildEngine } from '../../../nodes/engine/child-engine.ts';
import { createEngine } from '../../../nodes/engine/index.ts';
import { dot, embeddingContract, NEVER, subjectOf, vectorsOf } from '../../contract/embeddings.ts';
import { loadOptions } from '../../contract/jobs.ts';

const path = fileURLToPath(new URL('../../../nodes/models/bundled/all-minilm-l6-v2-q8_0.gguf', import.meta.url));
const minilm = loadOptions({ path, contextLength: 256, tasks: ['embed'] });
const replay = (spec: string) => loadOptions({ path: `replay:${spec}`, tasks: ['embed'] });

embeddingContract('vectors by llama.cpp in this process', async () => {
  const backend = new LlamaCppEmbeddings();
  const model = await backend.load(minilm, () => {});
  return Object.assign(backend, { model });
});
embeddingContract('vectors by llama.cpp in a child process', () => subjectOf(createEngine('llama-cpp', minilm)));
embeddingContract('vectors by replay in this process', () => subjectOf(createEngine('replay', replay('embed=128'))));
embeddingContract('vectors by replay in a child process', () =>
  subjectOf(createEngine('replay', replay('embed=128'), { forceChild: true })),
);

describe('all-minilm-l6-v2', () => {
  test('gives the numbers that its weights give without llama.cpp', async () => {
    const backend = new LlamaCppEmbeddings();
    await backend.load(minilm, () => {});
    const embedding = await backend.embed(['What is the capital of France?', 'How do I sort a list in Python?'], NEVER);
    await backend.dispose();
    const [france, python] = vectorsOf(embedding) as [Float32Array, Float32Array];
    // The first 8 of 384 numbers, computed in 32 bits from the weights that the bundled file was made of.
    expect([...france.slice(0, 8)].map((value, i) => Math.abs(value - REFERENCE[i]!))).toSatisfy((differences: number[]) =>
      differences.every((difference) => difference < 0.005),
    );
    expect(dot(france, python)).toBeCloseTo(0.115, 1);
  });
});

const REFERENCE = [0.082, 0.0361, -0.0039, -0.0049, 0.0257, -0.0571, 0.0122, 0.0047];

describe('an engine in a child process', () => {
  test('that dies ends its embeds with ENGINE_CRASHED, and makes vectors again', async () => {
    const engine = new ChildEngine('replay', replay('embed=8,prefill=1'), { random: () => 0 });
    await engine.start();
    const lost = [engine.embed(['a long text'], NEVER), engine.embed(['another'], NEVER)];
    const ready = new Promise<void>((resolve) => engine.onState(({ type }) => type === 'ready' && resolve()));
    process.kill(engine.pid as number, 'SIGKILL');
    for (const embedding of await Promise.all(lost)) expect(embedding).toMatchObject({ reason: 'ENGINE_CRASHED' });
    expect(await engine.embed(['too early'], NEVER)).toMatchObject({ reason: 'ENGINE_CRASHED' });
    await ready;
    expect(await engine.embed([''], NEVER)).toMatchObject({ type: 'vectors' });
    await engine.dispose();
  });

  test('stops reading when an embed is cancelled', async () => {
    const engine = new ChildEngine('replay', replay('embed=8,wedge=0'));
    await engine.start();
    const cancel = new AbortController();
    const embedding = engine.embed(['a text'], cancel.signal);
    cancel.abort();
    expect(await embedding).toMatchObject({ reason: 'CANCELLED' });
    await engine.dispose();
  });

  test('that answers makes no vectors', async () => {
    const engine = createEngine('replay', loadOptions({ path: 'replay:' }));
    await engine.start();
    expect(await engine.embed(['a text'], NEVER)).toMatchObject({ reason: 'UNSUPPORTED' });
    await engine.dispose();
  });
});

describe("replay's vectors", () => {
  test('follow from the words of a text and their order, not from case or punctuation', () => {
    const vector = replayVector('Flights from Paris to Rome', 256);
    expect(replayVector('flights, from PARIS to Rome!', 256)).toEqual(vector);
    const turned = dot(vector, replayVector('Flights from Rome to Paris', 256));
    expect(turned).toBeGreaterThan(0.7);
    expect(turned).toBeLessThan(0.99);
  });

  test('are made where the path asks for them', () => {
    expect(['replay:embed=8', 'replay:rate=5,embed=16'].map(makesVectors)).toEqual([true, true]);
    expect(['replay:', 'replay:embed=0', 'replay:rate=5', 'embed=8'].map(makesVectors)).toEqual([false, false, false, false]);
  });

  test('take the time that reading takes, and end the process where that is asked for', async () => {
    const { ReplayEmbeddings } = await import('../../../nodes/backends/replay-embeddings.ts');
    const die = vi.fn();
    const backend = new ReplayEmbeddings(die);
    await backend.load(replay('embed=8,prefill=100,poison=1'), () => {});
    const startedAt = performance.now();
    await backend.embed(['two words', 'and these five are POISON'], NEVER);
    expect(performance.now() - startedAt).toBeGreaterThan(60);
    expect(die).toHaveBeenCalledOnce();
  });
});
