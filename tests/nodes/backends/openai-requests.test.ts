/** What is asked of servers with the API of OpenAI, and what their refusals mean. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { cutToBytes, readVectors } from '../../../nodes/backends/openai/embedding.ts';
import { readMetrics } from '../../../nodes/backends/openai/metrics.ts';
import { refusalOf } from '../../../nodes/backends/openai/refusals.ts';
import type { Form } from '../../../nodes/backends/openai/request.ts';
import { chatRequest, sendsLimit, unsupportedSampling } from '../../../nodes/backends/openai/request.ts';
import { jobOf } from '../../contract/jobs.ts';

const form = (overrides: Partial<Form> = {}): Form => ({
  dialect: 'other',
  model: 'theirs',
  contextLength: 4096,
  schemaForm: 'json_schema',
  refused: new Set(),
  ...overrides,
});
const ALL = {
  temperature: 0.5,
  topP: 0.9,
  topK: 40,
  minP: 0.1,
  repeatPenalty: 1.1,
  frequencyPenalty: 0.2,
  presencePenalty: 0.3,
  seed: 7,
};

interface RecordedRefusal {
  readonly of: string;
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
  readonly expected: {
    readonly reason: string;
    readonly message: string;
    readonly retryAfterMs?: number;
    readonly restMs?: number;
    readonly parameter?: string;
  };
}
const refusals = JSON.parse(
  readFileSync(new URL('./recorded/openai/refusals.json', import.meta.url), 'utf8'),
) as RecordedRefusal[];

test.each(refusals.map((each) => [each.of, each] as const))(
  'a refusal of %s is told by its number and by name alone',
  (_, each) => {
    const { failure, restMs, parameter } = refusalOf(each, 0);
    const { restMs: rest, parameter: named, ...expected } = each.expected;
    expect(failure).toEqual({ type: 'failure', ...expected });
    expect({ restMs, parameter }).toEqual({ restMs: rest, parameter: named });
  },
);

test.each(['9'.repeat(40), '-5', 'soon', '1e9'])('a retry-after of %s is bounded', (value) => {
  const { restMs = -1 } = refusalOf({ status: 429, headers: { 'retry-after': value }, body: '' }, 0);
  expect(restMs).toBeGreaterThanOrEqual(0);
  expect(restMs).toBeLessThanOrEqual(600_000);
});

test('each dialect gets the sampling that it knows, by its own names, and the rest is told', () => {
  const job = jobOf('Hi', { sampling: ALL });
  expect(chatRequest(job, form({ dialect: 'vllm' }), true)).toMatchObject({
    top_k: 40,
    min_p: 0.1,
    repetition_penalty: 1.1,
    seed: 7,
  });
  expect(chatRequest(job, form({ dialect: 'llama-server' }), true)).toMatchObject({ top_k: 40, repeat_penalty: 1.1 });
  const plain = chatRequest(job, form(), true);
  expect(plain).toMatchObject({ temperature: 0.5, top_p: 0.9, frequency_penalty: 0.2, presence_penalty: 0.3, seed: 7 });
  expect(Object.keys(plain).filter((key) => /top_k|min_p|repe/.test(key))).toEqual([]);
  expect(unsupportedSampling(ALL, form())).toEqual(['top_k', 'min_p', 'repeat_penalty']);
  expect(unsupportedSampling(ALL, form({ dialect: 'vllm', refused: new Set(['seed']) }))).toEqual(['seed']);
});

test('what a server has refused is left out from then on, and the limit gets its newer name', () => {
  const request = chatRequest(jobOf('Hi', { sampling: ALL }), form({ refused: new Set(['temperature', 'max_tokens']) }), true);
  expect(request).not.toHaveProperty('temperature');
  expect(request).not.toHaveProperty('max_tokens');
  expect(request).toMatchObject({ max_completion_tokens: 40 });
});

test('a limit is sent where prompt and answer fit the context for certain', () => {
  expect(sendsLimit(jobOf('Hi', { maxTokens: 4000 }), form())).toBe(true);
  expect(sendsLimit(jobOf('Hi', { maxTokens: 4096 }), form())).toBe(false);
  expect(chatRequest(jobOf('Hi'), form(), false)).not.toHaveProperty('max_tokens');
});

test.each([
  ['json_schema', { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema: { type: 'string' } } }],
  ['tgi', { type: 'json_schema', value: { name: 'answer', schema: { type: 'string' } } }],
  ['json_object', { type: 'json_object', schema: { type: 'string' } }],
] as const)('a schema goes as %s', (schemaForm, expected) => {
  const job = jobOf('Hi', { jsonSchema: '{"type":"string"}' });
  expect(chatRequest(job, form({ schemaForm }), true).response_format).toEqual(expected);
});

test('vLLM goes on behind a beginning, whose last blanks it is to say again', () => {
  const delivered = { tokens: 4, text: 'A dragon\n\n', tokenIds: [] };
  expect(chatRequest(jobOf('Hi', { delivered }), form({ dialect: 'vllm' }), true)).toMatchObject({
    messages: [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'A dragon' },
    ],
    continue_final_message: true,
    add_generation_prompt: false,
    max_tokens: 38,
  });
});

test.each([
  ['vllm:num_requests_waiting{engine="0"} 3.0\nvllm:kv_cache_usage_perc{engine="0"} 0.5', { waiting: 3, kvCacheUse: 0.5 }],
  [
    'vllm:num_requests_waiting 1\nvllm:num_requests_waiting{engine="1"} 2\nvllm:gpu_cache_usage_perc 7',
    { waiting: 3, kvCacheUse: 1 },
  ],
  ['vllm:num_requests_waiting_by_reason{reason="capacity"} 3.0\nhttp_requests_total 5', undefined],
  ['vllm:num_requests_waiting NaN\nvllm:kv_cache_usage_perc -1', { waiting: 0, kvCacheUse: 0 }],
])('metrics are read from %j', (text, expected) => {
  expect(readMetrics(text)).toEqual(expected);
});

test('a text is cut between two characters', () => {
  expect(cutToBytes('🐉🐉', 7)).toBe('🐉');
  expect(cutToBytes('abc', 2)).toBe('ab');
  expect(cutToBytes('', 10)).toBe(' ');
  expect(cutToBytes('🐉', 1)).toBe(' ');
});

test.each([
  [{ data: [] }, /for each text/],
  [undefined, /for each text/],
  [
    {
      data: [
        { index: 0, embedding: [0, 0] },
        { index: 1, embedding: [1, 0] },
      ],
    },
    /direction/,
  ],
  [
    {
      data: [
        { index: 0, embedding: [1] },
        { index: 1, embedding: [1, 0] },
      ],
    },
    /different lengths/,
  ],
  [
    {
      data: [
        { index: 0, embedding: ['1'] },
        { index: 9, embedding: [1] },
      ],
    },
    /for each text/,
  ],
])('vectors like %j are a failure', (told, message) => {
  expect(readVectors(told, 2)).toMatchObject({
    type: 'failure',
    reason: 'ENGINE_FAILED',
    message: expect.stringMatching(message),
  });
});
