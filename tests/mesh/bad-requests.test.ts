import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Code } from '../../proto/contract/faults.ts';
import { MAX_DETAILS_BYTES } from '../../proto/contract/status.ts';
import { Role, Tier } from '../../proto/gen/infermesh/v1/types.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';
import type { RawEnd } from './wire.ts';
import { CHAT, chatBytes, RawConnection, textIn } from './wire.ts';

let mesh: TestMesh;
let wire: RawConnection;

beforeAll(async () => {
  mesh = await startMesh({ nodes: [{ engine: 'replay', model: 'canned', replay: 'length=5' }, {}] });
  wire = new RawConnection(mesh.address);
});
afterEach(async () => {
  await expectAtRest(mesh);
  // The process that was spoken to badly still serves, on the same connection.
  expect((await chat({ target: CANNED })).code).toBe(Code.OK);
});
afterAll(async () => {
  await wire[Symbol.asyncDispose]();
  await mesh[Symbol.asyncDispose]();
});

const USER = Role.ROLE_USER;
const CANNED = { $case: 'model', value: 'canned' } as const;
const STORIES = { $case: 'model', value: 'stories-15m' } as const;

type Partly = Exclude<Parameters<typeof chatBytes>[0], string>;
const chat = (request: Partly = {}) => wire.call(CHAT, chatBytes({ messages: [{ role: USER, text: 'hello' }], ...request }));
const prompt = (text: string, target: Partly['target'] = CANNED) => chat({ target, messages: [{ role: USER, text }] });

function expectInvalid({ code, fault, details, message }: RawEnd, field: string, ...says: string[]): void {
  expect({ code, reason: fault.reason, message }).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_REQUEST' });
  expect(details.length).toBeLessThanOrEqual(MAX_DETAILS_BYTES);
  const violation = fault.violations.find((one) => one.field === field);
  expect(violation, `no violation of ${field} in ${JSON.stringify(fault.violations)}`).toBeDefined();
  for (const words of says) expect(violation?.description).toContain(words);
  expect(message).toContain(fault.violations[0]?.description);
}

describe('a prompt', () => {
  it('that is empty is refused', async () => {
    expectInvalid(await prompt(''), 'messages', 'not empty', 'received 1');
    expectInvalid(await chat({ messages: [] }), 'messages', 'must be 1 to 1,024 messages', 'received 0');
  });

  it('without a user turn is refused', async () => {
    const messages = [{ role: Role.ROLE_SYSTEM, text: 'be kind' }];
    expectInvalid(await chat({ messages }), 'messages', 'at least one ROLE_USER');
  });

  it('of 1 MiB is too long for a model of 256 tokens', async () => {
    const { code, fault } = await prompt('x'.repeat(1_048_576), STORIES);
    expect({ code, reason: fault.reason }).toEqual({ code: Code.FAILED_PRECONDITION, reason: 'CONTEXT_TOO_LONG' });
  });

  it('of 1 MiB reaches a model whose context it fits', async () => {
    const { code, data } = await prompt('x'.repeat(1_048_576));
    expect(code).toBe(Code.OK);
    expect(textIn(data).split(' ')).toHaveLength(5);
  });

  it('over 1 MiB is refused with the bound and its size', async () => {
    expectInvalid(await prompt('x'.repeat(1_048_577)), 'messages', 'at most 1,048,576 bytes', '1,048,577 bytes');
  });

  it('over what the transport takes is refused too', async () => {
    const { code } = await prompt('x'.repeat(9 * 1024 * 1024));
    expect(code).toBe(Code.RESOURCE_EXHAUSTED);
  });

  it('that its engine finds too long once it has counted the tokens is told so', async () => {
    const { code, fault } = await prompt('a dragon '.repeat(200), STORIES);
    expect({ code, reason: fault.reason }).toEqual({ code: Code.FAILED_PRECONDITION, reason: 'CONTEXT_TOO_LONG' });
  });
});

describe('text that is not UTF-8', () => {
  const withText = (bytes: number[]) => {
    const text = Buffer.from([0x12, bytes.length, ...bytes]);
    const message = Buffer.concat([Buffer.from([0x08, USER]), text]);
    return wire.call(CHAT, Buffer.concat([Buffer.from([0x0a, message.length]), message]));
  };

  it.each([
    ['bytes that no character begins with', [0x68, 0xff, 0xfe]],
    ['a character cut short', [0xf0, 0x9f, 0x90]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['a lone surrogate, as protobuf.js encodes it', [0xed, 0xa0, 0x80]],
    ['a code point beyond Unicode', [0xf5, 0x80, 0x80, 0x80]],
  ])('is refused: %s', async (_name, bytes) => {
    expectInvalid(await withText(bytes), '(string)', 'must be valid UTF-8', `received ${bytes.length} bytes`);
  });

  it('is refused in names and stop strings as well', async () => {
    const stop = Buffer.concat([chatBytes('hello'), Buffer.from([0x32, 1, 0xff])]);
    expectInvalid(await wire.call(CHAT, stop), '(string)', 'must be valid UTF-8');
  });
});

describe('bytes that are no ChatRequest', () => {
  it.each([
    ['a length beyond the end', [0x0a, 0x7f, 0x01]],
    ['a wire type that does not exist', [0x0f, 0x00]],
    ['a varint that never ends', Array<number>(16).fill(0xff)],
  ])('are refused: %s', async (_name, bytes) => {
    expectInvalid(await wire.call(CHAT, Buffer.from(bytes)), '(message)', 'must be a ChatRequest', `received ${bytes.length}`);
  });

  it('at a method that does not exist are UNIMPLEMENTED', async () => {
    expect((await wire.call('/infermesh.v1.InferenceService/Sing', chatBytes('hello'))).code).toBe(Code.UNIMPLEMENTED);
  });
});

describe('a number out of its bounds is refused with field, bound and value', () => {
  it.each<[string, Partly, string, string]>([
    ['sampling.temperature', { sampling: { temperature: Number.NaN } }, 'from 0 to 2', 'NaN'],
    ['sampling.temperature', { sampling: { temperature: -1 } }, '0', '-1'],
    ['sampling.temperature', { sampling: { temperature: 1e30 } }, '2', 'received 1.0000000150474662e+30'],
    ['sampling.temperature', { sampling: { temperature: Number.POSITIVE_INFINITY } }, '2', 'Infinity'],
    ['sampling.top_p', { sampling: { topP: 0 } }, 'over 0, up to 1', 'received 0'],
    ['sampling.top_p', { sampling: { topP: Number.NaN } }, 'over 0, up to 1', 'NaN'],
    ['sampling.top_k', { sampling: { topK: 0 } }, '1', 'received 0'],
    ['sampling.top_k', { sampling: { topK: 4_294_967_295 } }, '1000', '4294967295'],
    ['sampling.min_p', { sampling: { minP: 1.5 } }, '1', '1.5'],
    ['sampling.repeat_penalty', { sampling: { repeatPenalty: 0 } }, '0.1', 'received 0'],
    ['sampling.frequency_penalty', { sampling: { frequencyPenalty: -3 } }, '-2', '-3'],
    ['sampling.presence_penalty', { sampling: { presencePenalty: Number.NEGATIVE_INFINITY } }, '-2', '-Infinity'],
    ['max_tokens', { maxTokens: 0 }, '1', 'received 0'],
    ['max_tokens', { maxTokens: 131_073 }, '131072', '131073'],
    ['preference.quality', { preference: { quality: Number.NaN } }, 'from 0 to 1', 'NaN'],
    ['preference', { preference: {} }, 'at least one weight over 0', '4 entries'],
  ])('%s %j', async (field, request, bound, received) => {
    expectInvalid(await chat(request), field, bound, received);
  });

  it('also one that was negative before it was put into 32 bits', async () => {
    const minusOne = Buffer.from([0x28, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    expectInvalid(await wire.call(CHAT, Buffer.concat([chatBytes('hello'), minusOne])), 'max_tokens', '131072', '4294967295');
  });
});

describe('anything else out of its bounds is refused with its size, never its text', () => {
  const CANARY = 'canary-7f3a';
  const labels = (count: number, name: string, value = '') =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`${name}${i}`, value]));

  it.each<[string, Partly]>([
    ['messages[0].role', { messages: [{ role: Role.ROLE_UNSPECIFIED, text: CANARY }] }],
    ['messages[0].role', { messages: [{ role: 77 as Role, text: CANARY }] }],
    ['messages', { messages: Array.from({ length: 1025 }, () => ({ role: USER, text: CANARY })) }],
    ['model', { target: { $case: 'model', value: `../${CANARY}` } }],
    ['model', { target: { $case: 'model', value: CANARY.repeat(100) } }],
    ['tier', { target: { $case: 'tier', value: Tier.TIER_UNSPECIFIED } }],
    ['stop[1]', { stop: ['.', ''] }],
    ['stop[0]', { stop: [CANARY.repeat(100)] }],
    ['stop', { stop: Array<string>(17).fill(CANARY) }],
    ['json_schema', { jsonSchema: CANARY }],
    ['json_schema', { jsonSchema: '[]' }],
    ['json_schema', { jsonSchema: `{"a":"${CANARY.repeat(10_000)}"}` }],
    ['session_id', { sessionId: `${CANARY} with spaces` }],
    ['idempotency_key', { idempotencyKey: CANARY.repeat(20) }],
    ['labels', { labels: labels(17, CANARY) }],
    ['labels', { labels: { [`${CANARY} é`]: '' } }],
    ['labels', { labels: labels(1, 'a', CANARY.repeat(100)) }],
  ])('%s', async (field, request) => {
    const ended = await chat(request);
    expectInvalid(ended, field, 'must', 'received');
    expect(JSON.stringify(ended.trailers) + ended.details.toString('latin1')).not.toContain(CANARY);
  });

  it('and all of a request together, within 4 KiB', async () => {
    const stop = Array.from({ length: 16 }, () => 'x'.repeat(300));
    const ended = await chat({ stop, maxTokens: 0, sessionId: ' ', sampling: { temperature: 9 } });
    expectInvalid(ended, 'stop[0]', 'received 300 bytes');
    expect(ended.fault.violations.length).toBeGreaterThan(4);
  });
});

describe('what no node serves', () => {
  it('is NOT_FOUND, for a model and for a tier', async () => {
    for (const target of [{ $case: 'model', value: 'gpt-9' } as const, { $case: 'tier', value: Tier.TIER_CLOUD } as const]) {
      const { code, fault, message } = await chat({ target });
      expect({ code, reason: fault.reason }).toEqual({ code: Code.NOT_FOUND, reason: 'MODEL_NOT_FOUND' });
      expect(message).not.toContain('gpt-9');
    }
  });

  it('is FAILED_PRECONDITION where the engine lacks it', async () => {
    const { code, fault } = await chat({ target: CANNED, jsonSchema: '{"type":"object"}' });
    expect({ code, reason: fault.reason }).toEqual({ code: Code.FAILED_PRECONDITION, reason: 'UNSUPPORTED' });
  });
});

describe('the client library', () => {
  it.each<[string, object]>([
    ['max_tokens', { maxTokens: -1 }],
    ['max_tokens', { maxTokens: Number.NaN }],
    ['sampling.top_k', { sampling: { topK: 1.5 } }],
    ['sampling.seed', { sampling: { seed: -1 } }],
    ['messages[0].text', { messages: 'cut \ud83d short' }],
    ['stop[0]', { stop: ['\udc00'] }],
  ])('refuses what an encoder would bend: %s %j', async (field, input) => {
    const asked = mesh.client.ask({ messages: 'hello', model: 'canned', ...input });
    await expect(asked).rejects.toMatchObject({ reason: 'INVALID_REQUEST', violations: [expect.objectContaining({ field })] });
  });
});
