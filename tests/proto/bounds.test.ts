import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkChat, checkFeedback, checkResume } from '../../proto/contract/bounds.ts';
import type { Fault } from '../../proto/contract/faults.ts';
import type { Priority } from '../../proto/gen/infermesh/v1/inference.ts';
import { ChatRequest, FeedbackRequest, ResumeRequest } from '../../proto/gen/infermesh/v1/inference.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';

type Partly = Parameters<typeof ChatRequest.fromPartial>[0];
const request = (more: Partly = {}) => ChatRequest.fromPartial({ messages: [{ role: Role.ROLE_USER, text: 'hello' }], ...more });

function refused(more: Partly): Fault {
  try {
    checkChat(request(more));
  } catch (fault) {
    return fault as Fault;
  }
  throw new Error('it was accepted');
}

describe('a request within its bounds', () => {
  it.each<[string, Partly]>([
    ['plain', {}],
    ['at the low end', { maxTokens: 1, sampling: { temperature: 0, topK: 1, minP: 0, frequencyPenalty: -2, seed: 0 } }],
    ['at the high end', { maxTokens: 131_072, sampling: { temperature: 2, topP: 1, topK: 1000, seed: 4_294_967_295 } }],
    ['with all its text', { messages: [{ role: Role.ROLE_USER, text: 'é'.repeat(524_288) }] }],
    ['with 1,024 messages', { messages: Array.from({ length: 1024 }, () => ({ role: Role.ROLE_USER, text: 'x' })) }],
    ['with 16 stop strings of 256 bytes', { stop: Array<string>(16).fill('x'.repeat(256)) }],
    ['with one weight', { preference: { cost: 0.001 } }],
    ['with a label that objects have of themselves', { labels: { constructor: 'x', toString: 'y' } }],
    ['with any model name that is one', { target: { $case: 'model', value: 'Org.model-7b:Q4_K' } }],
    ['with a schema', { jsonSchema: '{"type":"object"}' }],
    ['with characters of every length', { messages: [{ role: Role.ROLE_USER, text: 'aé森🐉\u0000' }] }],
  ])('is taken as it is: %s', (_name, more) => {
    expect(checkChat(request(more))).toEqual(request(more));
  });
});

describe('a number', () => {
  const bounds: [field: string, low: number, high: number, whole: boolean, of: (value: number) => Partly][] = [
    ['max_tokens', 1, 131_072, true, (maxTokens) => ({ maxTokens })],
    ['sampling.temperature', 0, 2, false, (temperature) => ({ sampling: { temperature } })],
    ['sampling.top_k', 1, 1000, true, (topK) => ({ sampling: { topK } })],
    ['sampling.min_p', 0, 1, false, (minP) => ({ sampling: { minP } })],
    ['sampling.repeat_penalty', 0.1, 2, false, (repeatPenalty) => ({ sampling: { repeatPenalty } })],
    ['sampling.frequency_penalty', -2, 2, false, (frequencyPenalty) => ({ sampling: { frequencyPenalty } })],
    ['sampling.presence_penalty', -2, 2, false, (presencePenalty) => ({ sampling: { presencePenalty } })],
    ['sampling.seed', 0, 4_294_967_295, true, (seed) => ({ sampling: { seed } })],
    ['preference.cost', 0, 1, false, (cost) => ({ preference: { cost, quality: 1 } })],
    ['limits.max_cost_usd', 0, 1_000_000, false, (maxCostUsd) => ({ limits: { maxCostUsd } })],
    ['limits.max_latency_ms', 1, 3_600_000, true, (maxLatencyMs) => ({ limits: { maxLatencyMs } })],
    ['limits.max_first_token_ms', 1, 3_600_000, true, (maxFirstTokenMs) => ({ limits: { maxFirstTokenMs } })],
    ['limits.min_quality', 0, 1, false, (minQuality) => ({ limits: { minQuality } })],
    ['priority', 0, 3, true, (priority) => ({ priority: priority as Priority })],
  ];

  it.each(bounds)('is taken within its bounds and refused outside them, by name and value: %s', (field, low, high, whole, of) => {
    const any = fc.oneof(
      fc.double({ min: low - 3, max: high + 3, noNaN: true }),
      fc.double(),
      fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, low, high, low - 1, high + 1, -1, 2 ** 53),
    );
    fc.assert(
      fc.property(any, (value) => {
        const fits = value >= low && value <= high && (!whole || Number.isInteger(value));
        if (fits) return void checkChat(request(of(value)));
        const { reason, violations } = refused(of(value));
        expect(reason).toBe('INVALID_REQUEST');
        expect(violations.map((one) => one.field)).toContain(field);
        expect(violations[0]?.description).toMatch(/^must be .*, received /);
        expect(violations[0]?.description).toContain(String(value));
      }),
    );
  });
});

describe('a lone surrogate', () => {
  it.each<[string, Partly]>([
    ['messages[0].text', { messages: [{ role: Role.ROLE_USER, text: 'cut \ud83d' }] }],
    ['stop[0]', { stop: ['\udc00'] }],
    ['labels.a', { labels: { a: '\ud800' } }],
    ['json_schema', { jsonSchema: '{"a":"\ud800"}' }],
  ])('is refused in %s', (field, more) => {
    const { violations } = refused(more);
    expect(violations[0]).toMatchObject({ field, description: expect.stringContaining('well-formed Unicode') });
  });
});

describe('whatever a request holds', () => {
  it('it is taken or refused, never anything else, and a refusal quotes no text', () => {
    const canary = 'canary-7f3a';
    const text = fc.constantFrom('', 'ok', canary, canary.repeat(100), `\ud83d${canary}`, `${canary}\u0000`);
    const wild = fc.record({
      messages: fc.array(fc.record({ role: fc.integer({ min: -1, max: 9 }).map((role) => role as Role), text }), {
        maxLength: 3,
      }),
      stop: fc.array(text, { maxLength: 20 }),
      jsonSchema: text,
      sessionId: text,
      idempotencyKey: text,
      labels: fc.dictionary(fc.string(), text, { maxKeys: 20 }),
    });
    fc.assert(
      fc.property(wild, (fields) => {
        try {
          checkChat(ChatRequest.fromPartial(fields));
        } catch (thrown) {
          const fault = thrown as Fault;
          expect(fault.reason).toBe('INVALID_REQUEST');
          expect(JSON.stringify([fault.message, fault.violations])).not.toContain(canary);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('a rating', () => {
  const rate = (more: Parameters<typeof FeedbackRequest.fromPartial>[0]) => {
    try {
      return checkFeedback(FeedbackRequest.fromPartial({ requestId: 'r', ...more }));
    } catch (fault) {
      return (fault as Fault).violations;
    }
  };

  it('needs only one figure', () => {
    expect(rate({ rating: 0 })).toEqual({ requestId: 'r', rating: 0 });
    expect(rate({ recall: 1 })).toEqual({ requestId: 'r', recall: 1 });
  });

  it.each([
    [{}, 'rating', /^must be given, or one of groundedness, recall and readability, received nothing/],
    [{ requestId: '', rating: 1 }, 'request_id', /^must be 1 to 128 printable ASCII characters, received an empty string/],
    [{ rating: 1.1 }, 'rating', /^must be from 0 to 1, received 1.1/],
    [{ groundedness: -1 }, 'groundedness', /^must be from 0 to 1, received -1/],
    [{ readability: Number.NaN }, 'readability', /^must be from 0 to 1, received NaN/],
  ])('is refused with field, bound and value: %j', (more, field, description) => {
    expect(rate(more)).toEqual([{ field, description: expect.stringMatching(description) }]);
  });
});

describe('a beginning to go on behind', () => {
  const whole = { model: 'canned', tokenizerDigest: 'sha256:0', tokens: 3, text: 'one two three', tokenIds: [1, 2, 3] };
  const resuming = (delivered: Partial<typeof whole> = {}, more: Partly = {}) =>
    ResumeRequest.fromPartial({ chat: request(more), delivered: { ...whole, ...delivered } });
  const violations = (asked: ResumeRequest) => {
    try {
      checkResume(asked);
    } catch (fault) {
      return (fault as Fault).violations;
    }
    return [];
  };

  it('is taken as it is, with ids or without, also before its first token', () => {
    for (const asked of [resuming(), resuming({ tokenIds: [] }), resuming({ tokens: 0, text: '', tokenIds: [] })]) {
      expect(checkResume(asked)).toEqual(asked);
    }
  });

  it.each<[string, ResumeRequest, string]>([
    ['delivered.model', resuming({ model: '../x' }), 'must be a name of up to 128 letters, digits and ._:-, received 4 bytes'],
    ['delivered.token_ids', resuming({ tokens: 2 }), 'must be none, or as many as delivered.tokens, received 3'],
    ['delivered.tokens', resuming({}, { maxTokens: 2 }), 'must be at most max_tokens, received 3'],
    [
      'delivered.text',
      resuming({ text: 'x'.repeat((4 << 20) + 1) }),
      'must be of 0 to 4,194,304 bytes, received 4,194,305 bytes',
    ],
    ['chat.sampling.temperature', resuming({}, { sampling: { temperature: 7 } }), 'must be from 0 to 2, received 7'],
    [
      'chat.model',
      resuming({}, { target: { $case: 'model', value: '/' } }),
      'must be "auto" or a name of up to 128 letters, digits and ._:-, received 1 bytes',
    ],
  ])('is refused out of its bounds: %s', (field, asked, description) => {
    expect(violations(asked)).toEqual([{ field, description }]);
  });

  it('is refused without its halves', () => {
    expect(violations(ResumeRequest.create()).map(({ field }) => field)).toEqual(['chat', 'delivered']);
  });
});
