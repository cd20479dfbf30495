/** Classes of texts by ONNX Runtime, with a model of a few words. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { answerOf } from '../../../nodes/backends/onnx/classes.ts';
import { OnnxClassifier } from '../../../nodes/backends/onnx-classifier.ts';
import type { Engine } from '../../../nodes/engine/index.ts';
import { createEngine } from '../../../nodes/engine/index.ts';
import { engineReport } from '../../../nodes/engine/report.ts';
import { FinishReason, Role } from '../../../proto/gen/infermesh/v1/types.ts';
import { NEVER } from '../../contract/embeddings.ts';
import { jobOf, loadOptions, Recorder } from '../../contract/jobs.ts';
import { Folder } from '../../support/folder.ts';
import type { SmallModel } from '../../support/onnx/small.ts';
import { LABELS, labelled, perText, perToken, writeSmall } from '../../support/onnx/small.ts';

const installed = (await engineReport()).some(({ engine, available }) => engine === 'onnx' && available);
if (!installed) test.skip('ONNX Runtime is an optional package, and it is not installed here');

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());
const options = (name: string, model: SmallModel = { files: labelled() }) =>
  loadOptions(
    { path: writeSmall(join(folder.path, name), { build: perText, ...model }), contextLength: 64, tasks: ['classify'] },
    2,
  );

async function ended(subject: Pick<OnnxClassifier, 'generate'>, job: ReturnType<typeof jobOf>) {
  const sink = new Recorder();
  subject.generate(job, sink);
  return { ...(await sink.ended), text: sink.text };
}

describe('an answer', () => {
  const likely = (logits: readonly number[], independent = false) =>
    JSON.parse(answerOf(new Float32Array(logits), { labels: LABELS, independent })) as Record<string, unknown>;

  test('has the likeliest class first, and all add up to 1 where only one can hold', () => {
    const { label, score, scores } = likely([1, 3, 2]);
    expect({ label, score }).toEqual({ label: 'shipping', score: 0.6652 });
    expect(Object.keys(scores as object)).toEqual(['shipping', 'other', 'billing']);
    expect(Object.values(scores as object).reduce((sum: number, each) => sum + Number(each), 0)).toBeCloseTo(1, 3);
  });

  test('judges each class by itself where several can hold', () => {
    expect(likely([0, 100, -100], true)).toEqual({
      label: 'shipping',
      score: 1,
      scores: { shipping: 1, billing: 0.5, other: 0 },
    });
  });

  test('bears numbers whose powers are too large, and names five classes at most', () => {
    const labels = Array.from({ length: 9 }, (_, i) => `class "${i}"`);
    const logits = new Float32Array(labels.map((_, i) => 1000 - i));
    const { label, scores } = JSON.parse(answerOf(logits, { labels, independent: false })) as { label: string; scores: object };
    expect(label).toBe('class "0"');
    expect(Object.keys(scores)).toHaveLength(5);
  });
});

describe.runIf(installed)('a model that tells classes', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = createEngine('onnx', options('engine'));
    await engine.start();
  });
  afterAll(() => engine?.dispose());

  test('is announced as one that does nothing else', () => {
    expect(engine.state).toMatchObject({
      type: 'ready',
      model: { engine: 'onnx', tasks: ['classify'], slots: 2, structuredOutput: false, resumes: false, embeddingDimensions: 0 },
    });
  });

  test('answers with the class of the last message, in one piece, and counts what it read', async () => {
    const { text, outcome, tokens } = await ended(engine, jobOf('green and blue'));
    expect(JSON.parse(text)).toMatchObject({ label: 'shipping', score: expect.closeTo(0.9756, 3) });
    expect(tokens).toBe(1);
    const usage = { inputTokens: 3, outputTokens: 1, cachedInputTokens: 0 };
    expect(outcome).toEqual({ type: 'finish', reason: FinishReason.FINISH_REASON_STOP, usage });
    const messages = [
      { role: Role.ROLE_SYSTEM, text: 'green' },
      { role: Role.ROLE_USER, text: 'green' },
      { role: Role.ROLE_ASSISTANT, text: 'green' },
      { role: Role.ROLE_USER, text: 'red' },
    ];
    expect(JSON.parse((await ended(engine, jobOf('', { messages }))).text)).toMatchObject({ label: 'billing' });
  });

  test('answers many at the same time, more than it has slots', async () => {
    const words = Array.from({ length: 40 }, (_, i) => ['red', 'green', 'blue'][i % 3] as string);
    const ends = await Promise.all(words.map((word) => ended(engine, jobOf(word))));
    const labels = ends.map(({ text }) => (JSON.parse(text) as { label: string }).label);
    expect(labels).toEqual(words.map((_, i) => LABELS[i % 3]));
    expect(engine.currentLoad()).toMatchObject({ running: 0, queued: 0 });
  });

  test('heeds a stop string', async () => {
    const { text, outcome } = await ended(engine, jobOf('red', { stop: ['"score"'] }));
    expect(text).toBe('{"label":"billing",');
    expect(outcome).toMatchObject({ reason: FinishReason.FINISH_REASON_STOP_STRING });
  });

  test('ends with CANCELLED what is cancelled before it begins, while it waits, or while it is read', async () => {
    const backend = new OnnxClassifier();
    await backend.load(options('cancelled'), () => {});
    const sinks = Array.from({ length: 4 }, () => new Recorder());
    const [first, reading, , waiting] = sinks.map((sink) => backend.generate(jobOf('red'), sink));
    first?.cancel();
    // By then the others have come: two have the slots, and one waits.
    await new Promise((resolve) => setImmediate(resolve));
    expect(backend.currentLoad()).toMatchObject({ running: 2, queued: 1 });
    reading?.cancel();
    waiting?.cancel();
    const outcomes = (await Promise.all(sinks.map((sink) => sink.ended))).map(({ outcome }) => outcome.reason);
    expect(outcomes).toEqual(['CANCELLED', 'CANCELLED', FinishReason.FINISH_REASON_STOP, 'CANCELLED']);
    await backend.dispose();
  });

  test('answers after no JSON schema, and makes no vectors', async () => {
    const { outcome } = await ended(engine, jobOf('red', { jsonSchema: '{"type":"object"}' }));
    expect(outcome).toMatchObject({ type: 'failure', reason: 'UNSUPPORTED' });
    expect(await engine.embed(['red'], NEVER)).toMatchObject({ type: 'failure', reason: 'UNSUPPORTED' });
  });

  test('ends what runs and what waits with DRAINING once it is disposed', async () => {
    const backend = new OnnxClassifier();
    await backend.load(options('disposed'), () => {});
    const sinks = Array.from({ length: 6 }, () => new Recorder());
    for (const sink of sinks) backend.generate(jobOf('red'), sink);
    await backend.dispose();
    for (const sink of sinks) expect((await sink.ended).outcome).toMatchObject({ type: 'failure', reason: 'DRAINING' });
  });

  const refused: [string, SmallModel, string][] = [
    ['without names of its classes', {}, 'names 0 in id2label'],
    [
      'with another number of names',
      { files: labelled({ id2label: { 0: 'one' } }) },
      'it tells 3 classes, and the config.json beside it names 1',
    ],
    [
      'with names that are not numbered',
      { files: labelled({ id2label: { a: 'one', b: 'two', c: 'three' } }) },
      'names 0 in id2label',
    ],
    ['that makes vectors', { files: labelled(), build: perToken }, 'a model that tells classes has logits'],
  ];
  test.each(refused)('%s is refused with a sentence that says so', async (name, model, words) => {
    await expect(new OnnxClassifier().load(options(name, model), () => {})).rejects.toMatchObject({
      reason: 'ENGINE_FAILED',
      message: expect.stringContaining(words),
    });
  });
});
