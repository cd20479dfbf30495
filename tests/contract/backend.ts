/**
 * What every engine must do, whether it is called directly or behind an Engine. A suite that runs against something
 * slow enough to be interrupted: about a thousand tokens per second and less.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Job, Load, Run, Sink } from '../../nodes/backends/backend.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { FinishReason, Role } from '../../proto/gen/infermesh/v1/types.ts';
import type { End } from './jobs.ts';
import { deliveredAfter, jobOf, Recorder } from './jobs.ts';

/** A loaded backend, or an engine that is ready. */
export interface Subject {
  readonly model: ServedModel;
  generate(job: Job, sink: Sink): Run;
  currentLoad(): Load;
  dispose(): Promise<void>;
}

export interface Contract {
  /** Loads the engine with so many slots. */
  open(slots: number): Promise<Subject>;
  /** Why JSON schemas are not tried; absent where the engine supports them. */
  readonly noJsonSchema?: string;
  /** Why a seed changes nothing; absent where it does. */
  readonly ignoresSeed?: string;
  /** Why an answer cannot be gone on with; absent where it can. */
  readonly noResume?: string;
  /** The same of one under a JSON schema. */
  readonly noStructuredResume?: string;
  /** Why neither the ids of tokens nor the tokenizer are told; absent where they are. */
  readonly noTokenIds?: string;
  /** Why nobody tells how much of a prompt was in a cache; absent where somebody does. */
  readonly noCacheCount?: string;
  /** Why a stop string ends an answer as the model's own turn does; absent where it can be told apart. */
  readonly noStopReason?: string;
  /** Tests that a real server cannot pass, by their names, with the reason. */
  readonly leftOut?: Readonly<Record<string, string>>;
  /** Why a prompt that is too long is begun before it is refused; absent where it is not. */
  readonly refusesLate?: string;
}

function usageOf({ outcome }: End) {
  if (outcome.type !== 'finish') throw new Error(outcome.message);
  return outcome.usage;
}

const skipped = (reason: string | undefined) => (reason === undefined ? '' : ` (skipped: ${reason})`);

export function backendContract(name: string, contract: Contract): void {
  const SLOTS = 3;
  const noStructuredResume = contract.noJsonSchema ?? contract.noResume ?? contract.noStructuredResume;
  const { leftOut = {} } = contract;
  /** A test that may be left out. */
  const mayTest = (title: string, run: () => Promise<void>) =>
    test.skipIf(title in leftOut)(`${title}${skipped(leftOut[title])}`, run);
  let subject: Subject;

  const start = (job: Job) => {
    const sink = new Recorder(job.delivered?.tokens);
    return { sink, run: subject.generate(job, sink) };
  };
  const complete = async (job: Job, by = subject) => {
    const sink = new Recorder(job.delivered?.tokens);
    by.generate(job, sink);
    const end = await sink.ended;
    expect(sink.outOfOrder).toBe(0);
    return { ...end, sink, text: sink.text };
  };

  describe(name, () => {
    beforeAll(async () => {
      subject = await contract.open(SLOTS);
    });
    afterAll(async () => {
      expect(subject.currentLoad()).toMatchObject({ running: 0, queued: 0, queuedPromptTokens: 0 });
      await subject.dispose();
    });

    test('tells what it serves with rates that were measured', () => {
      expect(subject.model).toMatchObject({ slots: SLOTS, engineVersion: expect.stringMatching(/./) });
      expect(subject.model.contextLength).toBeGreaterThan(0);
      expect(subject.model.tokenizerDigest).toMatch(contract.noTokenIds === undefined ? /^sha256:[0-9a-f]{64}$/ : /^$/);
      expect(subject.model.prefillTokensPerSecond).toBeGreaterThan(0);
      expect(subject.model.decodeTokensPerSecond).toBeGreaterThan(0);
    });

    test('streams pieces that follow each other without a gap and counts its tokens', async () => {
      const { sink, outcome, tokens, timings } = await complete(jobOf('Once upon a time', { maxTokens: 30 }));
      expect(outcome).toMatchObject({
        type: 'finish',
        reason: FinishReason.FINISH_REASON_LENGTH,
        usage: { outputTokens: 30, inputTokens: expect.any(Number) },
      });
      expect(outcome.type === 'finish' && outcome.usage.inputTokens).toBeGreaterThan(0);
      expect(tokens).toBe(30);
      expect(sink.tokens).toBe(30);
      expect(sink.deltas.length).toBeGreaterThan(10);
      expect(Object.values(timings).every((ms) => Number.isFinite(ms) && ms >= 0)).toBe(true);
    });

    test('tells which slot each job got, none twice at a time', async () => {
      const jobs = Array.from({ length: SLOTS }, (_, i) => start(jobOf(`Count to ${i}`, { maxTokens: 200 })));
      await Promise.all(jobs.map(({ sink }) => sink.began));
      expect(jobs.map(({ sink }) => sink.slot).sort()).toEqual(Array.from({ length: SLOTS }, (_, slot) => slot));
      for (const { run } of jobs) run.cancel();
      await Promise.all(jobs.map(({ sink }) => sink.ended));
    });

    test.skipIf(contract.noCacheCount !== undefined)(
      `reads a conversation that goes on only where it is new${skipped(contract.noCacheCount)}`,
      async () => {
        const question = { role: Role.ROLE_USER, text: 'Tell me a long and winding story about a small dragon.' };
        const first = await complete(jobOf('', { messages: [question], maxTokens: 20 }));
        const messages = [question, { role: Role.ROLE_ASSISTANT, text: first.text }, { role: Role.ROLE_USER, text: 'And then?' }];
        const second = await complete(jobOf('', { messages, maxTokens: 2 }));
        // Its own answer an engine may have to read again, where the template or the tokenizer renders it otherwise.
        expect(usageOf(second).cachedInputTokens).toBeGreaterThanOrEqual(usageOf(first).inputTokens - 2);
      },
    );

    test('gives one token when one is asked for', async () => {
      const { tokens, outcome } = await complete(jobOf('Once upon a time', { maxTokens: 1 }));
      expect(tokens).toBe(1);
      expect(outcome).toMatchObject({ type: 'finish', reason: FinishReason.FINISH_REASON_LENGTH });
    });

    test('answers greedily unless asked otherwise, so the same prompt gives the same text', async () => {
      const first = await complete(jobOf('Tom had a red ball'));
      const second = await complete(jobOf('Tom had a red ball'));
      expect(second.text).toBe(first.text);
    });

    // One after the other: the size of a batch decides which kernels an engine takes, and so the last bits of a logit.
    test('gives the same answer for the same seed, and another one for another', async () => {
      const answer = (seed: number) => complete(jobOf('The cat sat on', { sampling: { temperature: 1, seed } }));
      const warmed = await answer(1);
      const [first, second] = [await answer(4_000_000_007), await answer(4_000_000_007)];
      expect(second.text).toBe(first.text);
      if (contract.ignoresSeed === undefined) expect(first.text).not.toBe(warmed.text);
    });

    test('ends before a stop string, wherever the tokens break', async () => {
      const { text } = await complete(jobOf('Once upon a time', { maxTokens: 40 }));
      for (const length of [1, 4, 9]) {
        const stop = text.slice(20, 20 + length);
        const stopped = await complete(jobOf('Once upon a time', { maxTokens: 40, stop: ['never comes up', stop] }));
        expect(stopped.text).toBe(text.slice(0, text.indexOf(stop)));
        const { FINISH_REASON_STOP_STRING, FINISH_REASON_STOP } = FinishReason;
        const reason = contract.noStopReason === undefined ? FINISH_REASON_STOP_STRING : FINISH_REASON_STOP;
        expect(stopped.outcome).toMatchObject({ type: 'finish', reason });
      }
    });

    test('delivers text that only looked like the beginning of a stop string', async () => {
      const { text } = await complete(jobOf('Once upon a time'));
      const almost = `${text.slice(10, 16)}\u0001`;
      const { text: same, outcome } = await complete(jobOf('Once upon a time', { stop: [almost] }));
      expect(same).toBe(text);
      expect(outcome).toMatchObject({ reason: FinishReason.FINISH_REASON_LENGTH });
    });

    test('sends whole code points only', async () => {
      const { sink } = await complete(
        jobOf('A 🐉 and 森: déjà vu', { maxTokens: 60, sampling: { temperature: 2, seed: 7, topK: 1000, topP: 1 } }),
      );
      expect(sink.deltas.every((delta) => delta.text.isWellFormed() && delta.text !== '')).toBe(true);
    });

    test('stops when cancelled, long before the answer would end, and frees the slot', async () => {
      const { sink, run } = start(jobOf('Once upon a time', { maxTokens: 200 }));
      await sink.reached(2);
      run.cancel();
      const { outcome, tokens } = await sink.ended;
      expect(outcome).toMatchObject({ type: 'failure', reason: 'CANCELLED' });
      expect(tokens).toBeLessThan(150);
      expect(subject.currentLoad().running).toBe(0);
      run.cancel();
      run.pause();
      run.resume();
      expect(sink.ends).toBe(1);
    });

    test('holds a paused job without losing it and goes on when resumed', async () => {
      const { sink, run } = start(jobOf('Once upon a time', { maxTokens: 60 }));
      await sink.reached(2);
      run.pause();
      // Another job from start to end leaves time enough for the pause to take hold, and for a token to slip through.
      await complete(jobOf('A dog ran', { maxTokens: 20 }));
      const held = sink.tokens;
      await complete(jobOf('A dog ran', { maxTokens: 30 }));
      expect(sink.tokens).toBe(held);
      expect(held).toBeLessThan(60);
      expect(subject.currentLoad().running).toBe(1);
      run.resume();
      expect(await sink.ended).toMatchObject({ outcome: { type: 'finish' }, tokens: 60 });
      expect([sink.tokens, sink.outOfOrder]).toEqual([60, 0]);
    });

    test('can cancel a paused job', async () => {
      const { sink, run } = start(jobOf('Once upon a time', { maxTokens: 200 }));
      await sink.reached(1);
      run.pause();
      run.cancel();
      expect((await sink.ended).outcome).toMatchObject({ reason: 'CANCELLED' });
    });

    mayTest('finishes more jobs than it has slots, first come, first served', async () => {
      const began: number[] = [];
      const jobs = Array.from({ length: 4 * SLOTS }, (_, index) => {
        const { sink } = start(jobOf(`Story ${index}: once`, { maxTokens: 15 }));
        void sink.began.then(() => began.push(index));
        return sink;
      });
      const ends = await Promise.all(jobs.map((sink) => sink.ended));
      expect(ends.map((end) => end.outcome.type)).toEqual(jobs.map(() => 'finish'));
      expect(began).toEqual(jobs.map((_, index) => index));
      expect(ends.at(-1)!.timings.queueMs).toBeGreaterThan(ends[0]!.timings.queueMs);
    });

    mayTest('ends a queued job at once when it is cancelled', async () => {
      // Drawn by chance, an answer may be short.
      const long = { maxTokens: 200, sampling: { temperature: 0 } };
      const busy = Array.from({ length: SLOTS }, () => start(jobOf('Once upon a time', long)));
      await Promise.all(busy.map(({ sink }) => sink.reached(1)));
      const { sink, run } = start(jobOf('A dog ran'));
      run.cancel();
      const { outcome, tokens } = await sink.ended;
      expect(outcome).toMatchObject({ type: 'failure', reason: 'CANCELLED' });
      expect([tokens, sink.prefills, busy.filter((each) => each.sink.ends > 0).length]).toEqual([0, 0, 0]);
      for (const each of busy) each.run.cancel();
      await Promise.all(busy.map((each) => each.sink.ended));
    });

    mayTest('refuses a prompt that is longer than the context and says by how much', async () => {
      const words = subject.model.contextLength * 5;
      for (const prompt of ['word '.repeat(words), 'word '.repeat(200_000)]) {
        const { outcome, sink } = await complete(jobOf(prompt));
        expect(outcome).toMatchObject({
          type: 'failure',
          reason: 'CONTEXT_TOO_LONG',
          message: expect.stringMatching(/\d+ tokens.* \d+/),
        });
        if (contract.refusesLate === undefined) expect(sink.prefills).toBe(0);
      }
    });

    mayTest('ends with LENGTH where the context ends', async () => {
      const { outcome } = await complete(jobOf('One two three four five six seven. '.repeat(24), { maxTokens: 100_000 }));
      expect(outcome).toMatchObject({ type: 'finish', reason: FinishReason.FINISH_REASON_LENGTH });
      if (outcome.type !== 'finish') return;
      expect(outcome.usage.inputTokens + outcome.usage.outputTokens).toBe(subject.model.contextLength);
    });

    test.for([
      ['an empty user message', [{ role: Role.ROLE_USER, text: '' }]],
      [
        'an empty system message',
        [
          { role: Role.ROLE_SYSTEM, text: '' },
          { role: Role.ROLE_USER, text: 'Hi' },
        ],
      ],
      ['a lone surrogate', [{ role: Role.ROLE_USER, text: 'a \ud800 b' }]],
      [
        'two questions in a row',
        [
          { role: Role.ROLE_USER, text: 'a' },
          { role: Role.ROLE_USER, text: 'b' },
        ],
      ],
      [
        'a conversation that ends with its own answer',
        [
          { role: Role.ROLE_USER, text: 'a' },
          { role: Role.ROLE_ASSISTANT, text: 'b' },
        ],
      ],
    ] as const)('answers %s', async ([kind, messages], { skip }) => {
      const reason = leftOut[`answers ${kind}`];
      skip(reason !== undefined, reason);
      const { outcome } = await complete(jobOf('', { messages, maxTokens: 3 }));
      expect(outcome.type).toBe('finish');
    });

    const holdsSchema = 'holds an answer to a JSON schema';
    test.skipIf(contract.noJsonSchema !== undefined || holdsSchema in leftOut)(
      `${holdsSchema}${skipped(contract.noJsonSchema ?? leftOut[holdsSchema])}`,
      async () => {
        const jsonSchema = JSON.stringify({
          type: 'object',
          properties: { beast: { enum: ['森の竜 🐉', 'naïve 🦄'] }, heads: { type: 'integer' } },
          required: ['beast', 'heads'],
        });
        const { text, sink, outcome } = await complete(jobOf('A dragon as JSON', { jsonSchema, maxTokens: 120 }));
        expect(outcome).toMatchObject({ type: 'finish', reason: FinishReason.FINISH_REASON_STOP });
        expect(['森の竜 🐉', 'naïve 🦄']).toContain(JSON.parse(text).beast);
        expect(sink.deltas.some((delta) => delta.text.includes('\ufffd'))).toBe(false);
      },
    );

    test.skipIf(contract.noTokenIds !== undefined)(
      `tells the ids of the tokens of each piece${skipped(contract.noTokenIds)}`,
      async () => {
        const { sink, text } = await complete(jobOf('Once upon a time', { maxTokens: 30 }));
        for (const { tokens, tokenIds } of sink.deltas) expect(tokenIds).toHaveLength(tokens);
        const stopped = await complete(jobOf('Once upon a time', { maxTokens: 30, stop: [text.slice(20, 23)] }));
        for (const { tokens, tokenIds } of stopped.sink.deltas) expect(tokenIds).toHaveLength(tokens);
      },
    );

    /** Cuts the answer behind each of its pieces, or each third one, and lets an engine go on that has not read it before. */
    const cutAnywhere = async (job: Job, each = 1) => {
      const whole = await complete(job);
      const other = await contract.open(1);
      for (let pieces = 1; pieces < whole.sink.deltas.length; pieces += each) {
        await complete(jobOf('Something else altogether', { maxTokens: 1 }), other);
        const delivered = deliveredAfter(whole.sink, pieces);
        expect(delivered.text).not.toContain('\ufffd');
        const resumed = await complete({ ...job, delivered }, other);
        expect(delivered.text + resumed.text).toBe(whole.text);
        expect(resumed.tokens).toBe(whole.tokens);
        const { cachedInputTokens, ...usage } = usageOf(resumed);
        expect(usage).toEqual({ inputTokens: usageOf(whole).inputTokens, outputTokens: usageOf(whole).outputTokens });
        expect(cachedInputTokens).toBeLessThanOrEqual(usage.inputTokens);
        expect(resumed.outcome).toMatchObject({ reason: whole.outcome.type === 'finish' && whole.outcome.reason });
      }
      await other.dispose();
      return whole;
    };

    test.skipIf(contract.noResume !== undefined)(
      `goes on with an answer that was cut at any token exactly as the uninterrupted one${skipped(contract.noResume)}`,
      async () => {
        const { outcome } = await cutAnywhere(jobOf('Once upon a time', { maxTokens: 30 }));
        expect(outcome).toMatchObject({ reason: FinishReason.FINISH_REASON_LENGTH });
      },
    );

    test.skipIf(contract.noResume !== undefined)(
      `goes on so where tokens that came up before are penalized${skipped(contract.noResume)}`,
      async () => {
        const sampling = { repeatPenalty: 1.3, frequencyPenalty: 0.4, presencePenalty: 0.2 };
        await cutAnywhere(jobOf('Once upon a time', { maxTokens: 40, sampling }), 3);
      },
    );

    test.skipIf(contract.noResume !== undefined)(
      `goes on so before a stop string, wherever the answer was cut${skipped(contract.noResume)}`,
      async () => {
        const { text } = await complete(jobOf('Once upon a time', { maxTokens: 40 }));
        const stop = [text.slice(50, 57), `${text.slice(10, 14)}\u0001`];
        const { outcome } = await cutAnywhere(jobOf('Once upon a time', { maxTokens: 40, stop }));
        expect(outcome).toMatchObject({ reason: FinishReason.FINISH_REASON_STOP_STRING });
      },
    );

    test.skipIf(contract.noResume !== undefined)(
      `ends at once where the reader has all that was before a stop string${skipped(contract.noResume)}`,
      async () => {
        const { text } = await complete(jobOf('Once upon a time', { maxTokens: 40 }));
        const stopped = await complete(jobOf('Once upon a time', { maxTokens: 40, stop: [text.slice(31, 36)] }));
        const delivered = deliveredAfter(stopped.sink, stopped.sink.deltas.length);
        const job = jobOf('Once upon a time', { maxTokens: 40, stop: [text.slice(31, 36)], delivered });
        const resumed = await complete(job);
        expect(resumed.text).toBe('');
        expect(resumed.outcome).toMatchObject({ reason: FinishReason.FINISH_REASON_STOP_STRING });
      },
    );

    test.skipIf(contract.noResume !== undefined)(
      `goes on behind a text whose tokens nobody knows${skipped(contract.noResume)}`,
      async () => {
        const { sink } = await complete(jobOf('Once upon a time', { maxTokens: 10 }));
        const delivered = { ...deliveredAfter(sink, sink.deltas.length), tokenIds: [] };
        const resumed = await complete(jobOf('Once upon a time', { maxTokens: 16, delivered }));
        expect(resumed).toMatchObject({ tokens: 16, outcome: { usage: { outputTokens: 16 } } });
        expect(resumed.sink.tokens).toBe(6);
      },
    );

    test.skipIf(contract.noResume !== undefined)(
      `adds nothing to an answer that has all the tokens asked for${skipped(contract.noResume)}`,
      async () => {
        const { sink } = await complete(jobOf('Once upon a time', { maxTokens: 12 }));
        const delivered = deliveredAfter(sink, sink.deltas.length);
        for (const maxTokens of [12, 5]) {
          const resumed = await complete(jobOf('Once upon a time', { maxTokens, delivered }));
          expect(resumed).toMatchObject({ tokens: 12, outcome: { reason: FinishReason.FINISH_REASON_LENGTH } });
          expect([resumed.text, usageOf(resumed).outputTokens]).toEqual(['', 12]);
        }
      },
    );

    test.skipIf(contract.noResume !== undefined)(
      `adds nothing to an answer that fills the context with its prompt${skipped(contract.noResume)}`,
      async () => {
        const job = jobOf('One two three four five six seven. '.repeat(24), { maxTokens: 100_000 });
        const whole = await complete(job);
        const delivered = deliveredAfter(whole.sink, whole.sink.deltas.length);
        const resumed = await complete({ ...job, delivered });
        expect(resumed).toMatchObject({ text: '', outcome: { reason: FinishReason.FINISH_REASON_LENGTH } });
        const { inputTokens, outputTokens } = usageOf(resumed);
        expect(inputTokens + outputTokens).toBe(subject.model.contextLength);
      },
    );

    test.skipIf(contract.noResume !== undefined)(
      `counts what was delivered when it is cancelled before it goes on, or just after${skipped(contract.noResume)}`,
      async () => {
        const { sink: before } = await complete(jobOf('Once upon a time', { maxTokens: 8 }));
        const delivered = deliveredAfter(before, before.deltas.length);
        const { sink, run } = start(jobOf('Once upon a time', { maxTokens: 200, delivered }));
        run.cancel();
        const { tokens, outcome } = await sink.ended;
        expect(outcome).toMatchObject({ reason: 'CANCELLED' });
        expect(tokens).toBeGreaterThanOrEqual(8);
        expect(tokens).toBeLessThan(200);
      },
    );

    test.skipIf(noStructuredResume !== undefined)(
      `goes on with an answer under a JSON schema${skipped(noStructuredResume)}`,
      async () => {
        expect(subject.model.resumesStructured).toBe(true);
        const jsonSchema = JSON.stringify({
          type: 'object',
          properties: { beast: { enum: ['森の竜 🐉', '森の naïve 🦄'] }, heads: { enum: [1, 2, 12] } },
          required: ['beast', 'heads'],
        });
        const { text } = await cutAnywhere(jobOf('A dragon as JSON', { jsonSchema, maxTokens: 120 }), 3);
        expect(['森の竜 🐉', '森の naïve 🦄']).toContain(JSON.parse(text).beast);
        const strange = { tokens: 3, text: 'no JSON', tokenIds: [] };
        const refused = await complete(jobOf('A dragon as JSON', { jsonSchema, delivered: strange }));
        expect(refused.outcome).toMatchObject({ type: 'failure', reason: 'STREAM_NOT_RESUMABLE' });
      },
    );

    test.each([
      ['{"type":"string","pattern":"^a+$"}', 'UNSUPPORTED'],
      ['not json', contract.noJsonSchema === undefined ? 'INVALID_REQUEST' : 'UNSUPPORTED'],
    ])('refuses the JSON schema %s', async (jsonSchema, reason) => {
      const { outcome } = await complete(jobOf('x', { jsonSchema }));
      expect(outcome).toMatchObject({ type: 'failure', reason });
    });
  });

  test(`${name} ends every sink when it is disposed at work`, async () => {
    const own = await contract.open(1);
    const running = new Recorder();
    const queued = new Recorder();
    const after = new Recorder();
    own.generate(jobOf('Once upon a time', { maxTokens: 200 }), running);
    own.generate(jobOf('A dog ran'), queued);
    await running.reached(1);
    await own.dispose();
    own.generate(jobOf('Too late'), after);
    const ends = await Promise.all([running, queued, after].map((sink) => sink.ended));
    expect(ends.map((end) => end.outcome)).toEqual(
      ends.map(() => expect.objectContaining({ type: 'failure', reason: 'DRAINING' })),
    );
    expect([running.ends, queued.ends, after.ends]).toEqual([1, 1, 1]);
  });
}
