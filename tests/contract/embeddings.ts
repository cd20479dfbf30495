/** What every engine that makes vectors must do, whether it is called directly or behind an Engine. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Embedding, Job, Sink } from '../../nodes/backends/backend.ts';
import type { Engine } from '../../nodes/engine/engine.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { jobOf, Recorder } from './jobs.ts';

/** A loaded backend, or an engine that is ready. */
export interface VectorSubject {
  readonly model: ServedModel;
  embed(texts: readonly string[], signal: AbortSignal): Promise<Embedding>;
  generate(job: Job, sink: Sink): unknown;
  dispose(): Promise<void>;
}

export async function subjectOf(engine: Engine): Promise<VectorSubject> {
  const model = await engine.start();
  return {
    model,
    embed: engine.embed.bind(engine),
    generate: engine.generate.bind(engine),
    dispose: engine.dispose.bind(engine),
  };
}

export const NEVER = new AbortController().signal;

export const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);

export function vectorsOf(embedding: Embedding): readonly Float32Array[] {
  if (embedding.type !== 'vectors') throw new Error(embedding.message);
  return embedding.vectors;
}

const FRANCE = 'What is the capital of France?';
const ODD = ['', '  \n\t', '今天天气很好。', '🐉'.repeat(300), 'a\u0000b', '\ud800 half a surrogate pair', '[CLS] [SEP] [MASK]'];

/** @param digits behind the point in which the same text has the same vector: a batch decides the last bits of a number */
export function embeddingContract(name: string, open: () => Promise<VectorSubject>, digits = 6): void {
  const expectSame = (one: Float32Array | undefined, other: Float32Array | undefined) =>
    expect([...(one as Float32Array)]).toEqual(Array.from(other as Float32Array, (number) => expect.closeTo(number, digits)));
  let subject: VectorSubject;
  const embed = async (...texts: string[]) => vectorsOf(await subject.embed(texts, NEVER));

  describe(name, () => {
    beforeAll(async () => {
      subject = await open();
    });
    afterAll(() => subject.dispose());

    test('tells of how many numbers its vectors are, and how fast it reads', () => {
      expect(subject.model).toMatchObject({
        tasks: ['embed'],
        decodeTokensPerSecond: 0,
        resumes: false,
        structuredOutput: false,
      });
      expect(subject.model.embeddingDimensions).toBeGreaterThan(0);
      expect(subject.model.prefillTokensPerSecond).toBeGreaterThan(0);
    });

    test('makes a vector of length 1 of each text, in their order, and counts what it read', async () => {
      const embedding = await subject.embed([FRANCE, 'Boil the egg.', FRANCE], NEVER);
      const vectors = vectorsOf(embedding);
      expect(vectors.map(({ length }) => length)).toEqual(vectors.map(() => subject.model.embeddingDimensions));
      for (const vector of vectors) expect(dot(vector, vector)).toBeCloseTo(1, 5);
      expect(vectors[2]).toEqual(vectors[0]);
      expect(vectors[1]).not.toEqual(vectors[0]);
      expect(embedding).toMatchObject({ inputTokens: expect.any(Number) });
      expect(embedding.type === 'vectors' && embedding.inputTokens).toBeGreaterThan(10);
    });

    test('makes the same vector of a text whatever else is read at the same time', async () => {
      const [alone] = await embed(FRANCE);
      const together = await Promise.all([embed(FRANCE, 'Boil the egg.'), embed('Sort a list.', FRANCE), embed(FRANCE)]);
      for (const vector of [together[0][0], together[1][1], together[2][0]]) expectSame(vector, alone);
    });

    test('puts texts that share their words nearer to each other than texts that do not', async () => {
      const [one, near, far] = (await embed(FRANCE, 'Which city is the capital of France?', 'Boil an egg for ten minutes.')) as [
        Float32Array,
        Float32Array,
        Float32Array,
      ];
      expect(dot(one, near)).toBeGreaterThan(dot(one, far) + 0.3);
    });

    test('makes something of texts that have no word, that are no Unicode, or that look like its special tokens', async () => {
      for (const vector of await embed(...ODD)) expect(dot(vector, vector)).toBeCloseTo(1, 5);
    });

    test('cuts a text where its context ends', async () => {
      const long = 'one two three four '.repeat(2000);
      const [cut, longer] = await embed(long, `${long} and a very different end`);
      expectSame(cut, longer);
    });

    test('makes 64 vectors at once', async () => {
      const vectors = await embed(...Array.from({ length: 64 }, (_, i) => `text number ${i}`));
      expect(new Set(vectors.map((vector) => vector.join())).size).toBe(64);
    });

    test('stops when it is cancelled', async () => {
      const cancelled = { type: 'failure', reason: 'CANCELLED' };
      expect(await subject.embed([FRANCE], AbortSignal.abort())).toMatchObject(cancelled);
    });

    test('answers no chat', async () => {
      const sink = new Recorder();
      subject.generate(jobOf('hello'), sink);
      expect((await sink.ended).outcome).toMatchObject({ type: 'failure', reason: 'UNSUPPORTED' });
    });

    test('makes no vectors once it is disposed', async () => {
      const other = await open();
      await other.dispose();
      expect(await other.embed([FRANCE], NEVER)).toMatchObject({ type: 'failure', reason: 'DRAINING' });
    });
  });
}
