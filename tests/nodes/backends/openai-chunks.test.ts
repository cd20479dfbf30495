/** Recorded streams of servers with the API of OpenAI, as events. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ChunkEvent } from '../../../nodes/backends/openai/chunks.ts';
import { ChunkReader, MOST_EVENT_CHARACTERS } from '../../../nodes/backends/openai/chunks.ts';
import { FinishReason } from '../../../proto/gen/infermesh/v1/types.ts';

const RECORDED = ['llama-cpp-python', 'llama-server', 'llama-server-characters', 'openai', 'vllm', 'vllm-error'] as const;
const recorded = (name: string) => readFileSync(new URL(`./recorded/openai/${name}.sse`, import.meta.url));
const bytesOf = (text: string) => Buffer.from(text);
const event = (data: unknown) => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;
const choice = (delta: object, finish: string | null = null, more: object = {}) => ({
  choices: [{ index: 0, delta, finish_reason: finish, ...more }],
});

/** The events of a stream that comes in these parts. */
function read(...parts: readonly Uint8Array[]): ChunkEvent[] {
  const reader = new ChunkReader();
  return [...parts.flatMap((part) => reader.push(part)), ...reader.end()];
}

const readText = (...chunks: readonly unknown[]) => read(bytesOf(chunks.map(event).join('')));
const textsOf = (events: readonly ChunkEvent[]) => events.filter((each) => each.type === 'text');
const joined = (events: readonly ChunkEvent[]) => textsOf(events).reduce((sum, { text }) => sum + text, '');
const counted = (events: readonly ChunkEvent[]) => textsOf(events).reduce((sum, { tokens }) => sum + tokens, 0);
const lastUsage = (events: readonly ChunkEvent[]) => events.findLast((each) => each.type === 'usage')?.usage;

function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const at = [0, ...[...places].sort((a, b) => a - b), bytes.length];
  return at.slice(1).map((end, i) => bytes.subarray(at[i], end));
}

describe('a recorded stream', () => {
  test.each(RECORDED)('of %s gives the same events however its bytes are split', (name) => {
    const bytes = recorded(name);
    const whole = read(bytes);
    expect(whole.length).toBeGreaterThan(2);
    expect(read(...[...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(whole);
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 12 }), (places) => {
        expect(read(...cut(bytes, places))).toEqual(whole);
      }),
      { numRuns: 60 },
    );
  });

  test('of llama-cpp-python counts a token for each chunk, since no usage comes', () => {
    const events = read(recorded('llama-cpp-python'));
    expect(joined(events)).toBe(', there was a little girl named Lily. She loved');
    expect([counted(events), lastUsage(events)]).toEqual([12, undefined]);
    expect(events.slice(-2)).toEqual([{ type: 'finish', reason: FinishReason.FINISH_REASON_LENGTH }, { type: 'done' }]);
  });

  test('of vLLM tells the ids of each text, those of a character that came in parts with it', () => {
    const events = read(recorded('vllm'));
    expect(joined(events)).toBe(' A dragon竜 and 🐉.');
    expect(textsOf(events)[2]).toEqual({ type: 'text', text: '竜', tokens: 3, tokenIds: [29871, 30345, 30919] });
    expect(counted(events)).toBe(12);
    // The token that ends the turn is in the usage alone.
    expect(lastUsage(events)).toEqual({ inputTokens: 5, outputTokens: 13, cachedInputTokens: 0 });
  });

  test('of llama-server counts tokens by its timings, of which a character may take several', () => {
    const plain = read(recorded('llama-server'));
    expect([joined(plain), counted(plain)]).toEqual([', there was a little girl named Lily. She loved', 12]);
    expect(lastUsage(plain)).toEqual({ inputTokens: 5, outputTokens: 12, cachedInputTokens: 0 });
    const events = read(recorded('llama-server-characters'));
    expect(textsOf(events).map(({ text, tokens }) => `${text} ${tokens}`)).toEqual([
      '" 1',
      '森 3',
      'の 1',
      '竜 3',
      '  1',
      '🐉 4',
      '" 1',
    ]);
    expect(lastUsage(events)).toEqual({ inputTokens: 4, outputTokens: 15, cachedInputTokens: 1 });
  });

  test('of OpenAI passes over comments and fields that nobody asked for', () => {
    const events = read(recorded('openai'));
    expect([joined(events), counted(events)]).toEqual(['A dragon 🐉.', 4]);
    expect(lastUsage(events)).toEqual({ inputTokens: 12, outputTokens: 6, cachedInputTokens: 8 });
  });

  test('of an engine that dies ends with the failure, without its words', () => {
    const events = read(recorded('vllm-error'));
    expect(events.at(-1)).toEqual({
      type: 'failure',
      failure: { type: 'failure', reason: 'ENGINE_CRASHED', message: 'the server failed in the middle of the answer (500)' },
    });
  });
});

describe('what is not as it should be', () => {
  const failed = (message: RegExp) => ({
    type: 'failure',
    failure: { type: 'failure', reason: 'ENGINE_FAILED', message: expect.stringMatching(message) },
  });

  test('a stream without its end gives no finish, and an event without its blank line counts', () => {
    expect(read(bytesOf(`data: ${JSON.stringify(choice({ content: 'A' }))}`))).toEqual([
      { type: 'text', text: 'A', tokens: 1, tokenIds: [] },
    ]);
  });

  test.each([['not json'], ['[1, 2'], ['"text"'], ['null'], ['[]']])('a chunk that is %s ends the answer', (data) => {
    expect(readText(choice({ content: 'A' }), data, choice({ content: 'B' })).slice(1)).toEqual([failed(/no JSON object/)]);
  });

  test('an event without an end is given up', () => {
    const reader = new ChunkReader();
    const parts = ['data: ', ...Array.from({ length: 20 }, () => 'x'.repeat(MOST_EVENT_CHARACTERS / 16))];
    const events = parts.flatMap((part) => reader.push(bytesOf(part)));
    expect(events).toEqual([failed(/over 1048576 characters/)]);
    expect(reader.end()).toEqual([]);
  });

  test('bytes that are no events give none', () => {
    expect(read(bytesOf('<html>\n<body>Bad Gateway</body>\n</html>'))).toEqual([]);
  });

  test('the deltas of tools are passed over, and an end by one is a failure', () => {
    const call = { tool_calls: [{ index: 0, function: { name: 'rm', arguments: '{}' } }] };
    expect(readText(choice(call), choice({}, 'tool_calls'))).toEqual([failed(/called a tool/)]);
    expect(readText(choice({}, 'content_filter'))).toEqual([failed(/content filter/)]);
    expect(readText(choice({}, 'constructor'))).toEqual([failed(/broke the answer off/)]);
  });

  test('reasoning is no part of the answer and moves no position', () => {
    const usage = (tokens: number) => ({ usage: { prompt_tokens: 3, completion_tokens: tokens } });
    const events = readText(
      { ...choice({ reasoning_content: 'hm' }), ...usage(7) },
      { ...choice({ content: 'Yes' }), ...usage(8) },
      { ...choice({}, 'stop'), ...usage(9) },
    );
    expect(textsOf(events)).toEqual([{ type: 'text', text: 'Yes', tokens: 1, tokenIds: [] }]);
    expect(lastUsage(events)?.outputTokens).toBe(9);
  });

  test('half of a surrogate pair waits for the other half', () => {
    const [high, low] = ['🐉'[0], '🐉'[1]];
    expect(joined(readText(choice({ content: `a${high}` }), choice({ content: `${low}b` })))).toBe('a🐉b');
    expect(joined(readText(choice({ content: `a${high}` }), choice({}, 'stop')))).toBe('a\ufffd');
  });

  test('numbers that are none count for nothing', () => {
    const events = readText({ ...choice({ content: 'A' }), usage: { prompt_tokens: -3, completion_tokens: 1e300 } });
    expect(events).toContainEqual({ type: 'usage', usage: { inputTokens: 0, outputTokens: 0, cachedInputTokens: 0 } });
  });
});

test('whatever a server sends, texts are whole code points of at least one token', () => {
  const chunk = fc.record({
    content: fc.oneof(fc.string({ unit: 'binary' }), fc.constant(null)),
    ids: fc.option(fc.array(fc.nat(1000), { maxLength: 3 }), { nil: undefined }),
    told: fc.option(fc.nat(50), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 20 }), (chunks) => {
      const events = readText(
        ...chunks.map(({ content, ids, told }) => ({
          ...choice({ content }, null, { token_ids: ids }),
          ...(told === undefined ? {} : { usage: { completion_tokens: told } }),
        })),
        choice({}, 'stop'),
      );
      for (const { text, tokens, tokenIds } of textsOf(events)) {
        expect(text.isWellFormed() && text !== '' && tokens >= 1).toBe(true);
        expect([0, tokens]).toContain(tokenIds.length);
      }
      const given = chunks.map(({ content }) => content ?? '').join('');
      expect(joined(events)).toBe(given.toWellFormed());
    }),
  );
});
