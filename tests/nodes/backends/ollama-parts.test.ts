/** What of the ollama backend is pure, on recorded chunks. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chatEvent, toldBy, usageOf } from '../../../nodes/backends/ollama/chunks.ts';
import {
  checkedVersion,
  findModel,
  gpuShareOf,
  modelFacts,
  PullProgress,
  placementText,
} from '../../../nodes/backends/ollama/facts.ts';
import { faultOf, pullFault } from '../../../nodes/backends/ollama/faults.ts';
import { JsonLines } from '../../../nodes/backends/ollama/lines.ts';
import type { Chat, Standing } from '../../../nodes/backends/ollama/request.ts';
import { chatOf } from '../../../nodes/backends/ollama/request.ts';
import { FinishReason, Role } from '../../../proto/gen/infermesh/v1/types.ts';
import { jobOf } from '../../contract/jobs.ts';
import { recorded } from '../../support/ollama-server.ts';

const objectsOf = (file: string) => {
  const lines = new JsonLines();
  return [...lines.push(Buffer.from(recorded(file))), ...lines.end()];
};
const shown = (file: string) => modelFacts(JSON.parse(recorded(file)));

describe('chunks', () => {
  test('are the tokens of an answer, and last what Ollama counted', () => {
    const events = objectsOf('chat.ndjson').map((chunk) => chatEvent(chunk, 100));
    expect(events.flatMap((event) => (event.type === 'text' ? [event.text] : []))).toEqual(['Hello', ' there', ', ', '🐉', '!']);
    const last = events.at(-1)!;
    expect(last).toMatchObject({ type: 'done', reason: FinishReason.FINISH_REASON_STOP });
    if (last.type !== 'done') return;
    expect(last.told).toMatchObject({ prefillMs: 142, decodeMs: 106 });
    // The dragon took three tokens and came in one piece; Ollama's count knows them all.
    expect(usageOf(last.told, 5)).toEqual({ inputTokens: 31, outputTokens: 8, cachedInputTokens: 0 });
  });

  test('with what a model thinks are no part of its answer', () => {
    const events = objectsOf('chat-thinking.ndjson').map((chunk) => chatEvent(chunk, 3));
    expect(events.map(({ type }) => type)).toEqual(['nothing', 'nothing', 'text', 'done']);
    expect(events.at(-1)).toMatchObject({ reason: FinishReason.FINISH_REASON_LENGTH });
  });

  test('of any other form do no harm', () => {
    fc.assert(
      fc.property(
        fc.object({ maxDepth: 2 }),
        fc.record({ done: fc.anything(), message: fc.anything(), eval_count: fc.anything() }),
        (any, near) => {
          for (const chunk of [any, near, { ...near, done: true }]) {
            const event = chatEvent(chunk, 10);
            if (event.type === 'done') expect(Number.isInteger(usageOf(event.told, 4).outputTokens)).toBe(true);
          }
        },
      ),
    );
  });

  test('without counts leave the tokens as they came', () => {
    expect(usageOf(toldBy({ done: true }), 7)).toEqual({ inputTokens: 0, outputTokens: 7, cachedInputTokens: 0 });
    expect(toldBy({ eval_count: -1, prompt_eval_count: 1e300, eval_duration: 'long' })).toEqual({});
  });
});

describe('lines', () => {
  test('are the same wherever the bytes break', () => {
    const bytes = Buffer.from(recorded('chat.ndjson'));
    const whole = objectsOf('chat.ndjson');
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: bytes.length - 1 }), { maxLength: 40 }), (cuts) => {
        const lines = new JsonLines();
        const ends = [...new Set(cuts)].sort((a, b) => a - b);
        const pieces = [0, ...ends].map((from, i) => bytes.subarray(from, ends[i] ?? bytes.length));
        expect([...pieces.flatMap((piece) => [...lines.push(piece)]), ...lines.end()]).toEqual(whole);
      }),
    );
  });

  test.each(['<html>', '[1', '"text"', '7', 'null', '{"message":'])(
    'that are no object are refused without being quoted: %s',
    (line) => {
      expect(() => [...new JsonLines().push(Buffer.from(`${line} SECRET\n`))]).toThrow(
        /^Ollama sent a line that is not a JSON object$/,
      );
    },
  );

  test('that never end are refused', () => {
    const lines = new JsonLines();
    const endless = () => {
      for (let i = 0; i < 100; i++) [...lines.push(Buffer.alloc(65_536, 'x'))];
    };
    expect(endless).toThrow(/over 1048576 characters/);
  });
});

describe('errors', () => {
  test.each([
    [400, JSON.parse(recorded('too-long.json')).error, 'CONTEXT_TOO_LONG'],
    [400, 'the input length exceeds the context length', 'CONTEXT_TOO_LONG'],
    [400, 'the prompt is longer than the context length currently available to the model', 'CONTEXT_TOO_LONG'],
    [404, "model 'SECRET' not found", 'MODEL_NOT_FOUND'],
    [503, 'server busy, please try again.  maximum pending requests exceeded', 'QUEUE_FULL'],
    [429, 'too many requests SECRET', 'QUEUE_FULL'],
    [200, 'an error was encountered while running the model: unexpected EOF', 'ENGINE_CRASHED'],
    [500, 'llama runner process has terminated: exit status 2', 'ENGINE_CRASHED'],
    [502, '<html>SECRET</html>', 'UNREACHABLE'],
    [500, 'model requires more system memory (5.6 GiB) than is available (3.1 GiB)', 'ENGINE_FAILED'],
    [400, 'invalid JSON schema in format', 'UNSUPPORTED'],
    [400, '"SECRET" does not support chat', 'UNSUPPORTED'],
    [401, 'unauthorized', 'ENGINE_FAILED'],
    [500, 'something with SECRET in it', 'ENGINE_FAILED'],
  ])('of HTTP %i, %s, mean %s, and their words are kept back', (status, message, reason) => {
    const fault = faultOf(status, message);
    expect(fault.reason).toBe(reason);
    expect(fault.message).not.toContain('SECRET');
  });

  test('tell how long a prompt is where Ollama does', () => {
    const { error } = JSON.parse(recorded('too-long.json'));
    expect(faultOf(400, error).message).toBe('the prompt has 8889 tokens and the model takes 4095 at most');
  });

  test('of a pull are told in its own words, in one line', () => {
    expect(pullFault('qwen', 'write /data: no space\nleft on device').message).toBe(
      'Ollama cannot fetch qwen: write /data: no space left on device',
    );
  });
});

describe('facts', () => {
  test('of a model: context, quantisation, licence and its own stop strings', () => {
    expect(shown('show.json')).toEqual({
      quantization: 'Q4_K_M',
      licence: 'Apache-2.0',
      contextLength: 32768,
      stop: ['<|im_start|>', '<|im_end|>'],
      embedsOnly: false,
      thinks: false,
    });
    expect(shown('show-embedding.json')).toMatchObject({ embedsOnly: true, contextLength: 512 });
  });

  test('that are missing or of another kind are left empty', () => {
    const empty = { quantization: '', licence: '', contextLength: undefined, stop: [], embedsOnly: false, thinks: false };
    for (const told of [{}, { details: 3, model_info: [], capabilities: 'chat', parameters: null, license: {} }]) {
      expect(modelFacts(told)).toEqual(empty);
    }
  });

  test('a licence that SPDX has no name for keeps its own', () => {
    expect(modelFacts({ model_info: { 'general.license': 'llama3.1' } }).licence).toBe('LicenseRef-llama3.1');
    expect(modelFacts({ license: 'MIT License\n\nCopyright' }).licence).toBe('MIT');
  });

  test('a model is found with its tag or by the one that no tag means', () => {
    const tags = JSON.parse(recorded('tags.json'));
    expect(findModel(tags, 'all-minilm')).toMatchObject({
      digest: expect.stringMatching(/^sha256:1b226e28/),
      sizeBytes: 45960996,
    });
    expect(findModel(tags, 'qwen2.5:0.5b')?.sizeBytes).toBe(397821319);
    expect(findModel(tags, 'qwen2.5')).toBeUndefined();
    expect(findModel({ models: [null, 7, { name: 3 }] }, 'qwen2.5')).toBeUndefined();
  });

  test('where a model lies is told by its share of the GPU', () => {
    expect(placementText(gpuShareOf(findModel(JSON.parse(recorded('ps.json')), 'qwen2.5:0.5b')!))).toBe('50 % GPU');
    expect(gpuShareOf({ sizeBytes: 10, vramBytes: 12 })).toBe(1);
    expect(gpuShareOf({ sizeBytes: 0, vramBytes: 0 })).toBe(0);
    expect([0, 1].map(placementText)).toEqual(['CPU', 'GPU']);
  });

  test('a version that cuts long prompts in silence is refused', () => {
    for (const version of ['0.12.6', '0.13.0', '0.40.1', '1.0.0', '0.0.0']) expect(checkedVersion({ version })).toBe(version);
    for (const version of ['0.12.5', '0.9.99', '0.1.48']) expect(() => checkedVersion({ version })).toThrow(/too old/);
    for (const answer of [{}, { version: 3 }, { version: 'vLLM' }]) expect(() => checkedVersion(answer)).toThrow(/no Ollama/);
  });

  test('how much of a model has come is counted over its layers', () => {
    const progress = new PullProgress();
    const seen = objectsOf('pull.ndjson').map((step) => Math.round(progress.seen(step) * 100));
    expect(seen).toEqual([0, 0, 25, 100, 100, 100, 100, 100]);
  });
});

describe('a request', () => {
  const standing: Standing = {
    model: 'qwen2.5:0.5b',
    keepAlive: '-1',
    runner: { num_ctx: 8192, num_gpu: 12 },
    stop: ['<|im_end|>'],
    thinks: false,
  };
  const chat = (...given: Parameters<typeof jobOf>) => chatOf(jobOf(...given), standing) as Chat;

  test('has everything that the model, or a default of Ollama, would say otherwise', () => {
    expect(chat('hi', { maxTokens: 7 })).toEqual({
      model: 'qwen2.5:0.5b',
      messages: [{ role: 'user', content: 'hi' }],
      stream: true,
      truncate: false,
      shift: false,
      keep_alive: -1,
      options: {
        num_ctx: 8192,
        num_gpu: 12,
        num_predict: 7,
        temperature: 0,
        top_p: 0.95,
        top_k: 40,
        min_p: 0,
        repeat_penalty: 1,
        frequency_penalty: 0,
        presence_penalty: 0,
      },
    });
  });

  test('hands on what was asked for', () => {
    const sampling = {
      temperature: 0.7,
      topP: 0.5,
      topK: 9,
      minP: 0.1,
      repeatPenalty: 1.2,
      frequencyPenalty: 0.3,
      presencePenalty: -1,
      seed: 42,
    };
    const messages = [
      { role: Role.ROLE_SYSTEM, text: 's' },
      { role: Role.ROLE_ASSISTANT, text: 'a \ud800' },
    ];
    const { options, messages: sent } = chat('', { sampling, messages });
    expect(options).toMatchObject({ temperature: 0.7, top_p: 0.5, top_k: 9, min_p: 0.1, repeat_penalty: 1.2, seed: 42 });
    expect(options).toMatchObject({ frequency_penalty: 0.3, presence_penalty: -1 });
    expect(sent).toEqual([
      { role: 'system', content: 's' },
      { role: 'assistant', content: 'a \ufffd' },
    ]);
  });

  test("keeps the model's own stop strings in force beside those that were asked for", () => {
    expect(chat('hi').options).not.toHaveProperty('stop');
    expect(chat('hi', { stop: ['END', '<|im_end|>'] }).options?.stop).toEqual(['<|im_end|>', 'END']);
  });

  test('asks a model that thinks to answer', () => {
    expect(chatOf(jobOf('hi'), { ...standing, thinks: true })).toMatchObject({ think: false });
  });

  test('for an answer under a schema has the schema, where its grammar can hold all of it', () => {
    const schema = { type: 'object', properties: { minProperties: { type: 'integer' } } };
    expect(chat('hi', { jsonSchema: JSON.stringify(schema) }).format).toEqual(schema);
    const refused = chatOf(jobOf('hi', { jsonSchema: '{"type":"object","minProperties":1}' }), standing);
    expect(refused).toMatchObject({ type: 'failure', reason: 'UNSUPPORTED', message: expect.stringContaining('minProperties') });
  });

  test('that goes on with an answer is refused', () => {
    const delivered = { tokens: 1, text: 'x', tokenIds: [] };
    expect(chatOf(jobOf('hi', { delivered }), standing)).toMatchObject({ reason: 'STREAM_NOT_RESUMABLE' });
  });
});
