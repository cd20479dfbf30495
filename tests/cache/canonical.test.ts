import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { answerContent, canonicalChat, choiceContent, modelContent, openContent, scopeContent } from '../../cache/canonical.ts';
import { canonicalJson } from '../../cache/canonical-json.ts';
import { ChatRequest, Priority } from '../../proto/gen/infermesh/v1/inference.ts';
import { Role, Tier } from '../../proto/gen/infermesh/v1/types.ts';

type Partly = Parameters<typeof ChatRequest.fromPartial>[0];
const chat = (more: Partly = {}) => ChatRequest.fromPartial({ messages: [{ role: Role.ROLE_USER, text: 'hello' }], ...more });
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const of = (more: Partly = {}) => hex(canonicalChat(chat(more)));
const user = (text: string) => ({ role: Role.ROLE_USER, text });
const system = (text: string) => ({ role: Role.ROLE_SYSTEM, text });

describe('two requests have one answer', () => {
  it.each<[string, Partly, Partly]>([
    ['in different sessions', { sessionId: 'a' }, { sessionId: 'b' }],
    ['with different idempotency keys', { idempotencyKey: 'a' }, {}],
    ['with different labels', { labels: { team: 'a' } }, {}],
    ['of different urgency', { priority: Priority.PRIORITY_HIGH }, {}],
    ['that use the cache differently', { cache: { ttlSeconds: 5, paced: true } }, {}],
    [
      'whatever model is asked for, which the answer’s model stands for',
      { target: { $case: 'tier', value: Tier.TIER_FAST } },
      {},
    ],
    ['with the default length said and unsaid', { maxTokens: 512 }, {}],
    ['with stop strings in another order', { stop: ['a', 'b'] }, { stop: ['b', 'a', 'b'] }],
    ['with an empty sampling and none', { sampling: {} }, {}],
    ['with -0 and 0', { sampling: { temperature: -0 } }, { sampling: { temperature: 0 } }],
    [
      'with a schema that is written differently',
      { jsonSchema: '{"type":"object","required":["a"]}' },
      { jsonSchema: ' { "required" : [ "a" ], "type" : "object" } ' },
    ],
  ])('%s', (_name, one, other) => {
    expect(of(one)).toBe(of(other));
  });
});

describe('two requests have answers of their own', () => {
  it.each<[string, Partly, Partly]>([
    ['for another text', {}, { messages: [user('hello ')] }],
    ['for another role', {}, { messages: [system('hello')] }],
    ['for the messages in another order', { messages: [user('a'), system('b')] }, { messages: [system('b'), user('a')] }],
    ['for a text that moves to the next message', { messages: [user('ab'), user('c')] }, { messages: [user('a'), user('bc')] }],
    ['for one message or two', { messages: [user('a'), user('')] }, { messages: [user('a')] }],
    ['with temperature 0 and the model’s own', { sampling: { temperature: 0 } }, {}],
    ['with one figure in the place of another', { sampling: { topP: 0.5 } }, { sampling: { minP: 0.5 } }],
    ['with seed 0 and none', { sampling: { seed: 0 } }, {}],
    ['of another length', { maxTokens: 511 }, {}],
    ['with another stop string', { stop: ['a'] }, { stop: ['b'] }],
    ['with one stop string or the two it is made of', { stop: ['ab'] }, { stop: ['a', 'b'] }],
    ['with a stop string or a message of its text', { stop: ['hello'] }, { messages: [user('hello'), user('hello')] }],
    ['with a schema and without', { jsonSchema: '{}' }, {}],
    ['with schemas whose lists are in another order', { jsonSchema: '{"enum":[1,2]}' }, { jsonSchema: '{"enum":[2,1]}' }],
    ['with a number that is too large and null', { jsonSchema: '{"const":1e999}' }, { jsonSchema: '{"const":null}' }],
  ])('%s', (_name, one, other) => {
    expect(of(one)).not.toBe(of(other));
  });
});

const figure = fc.option(fc.constantFrom(0, 0.5, 1), { nil: undefined });
const text = fc.stringMatching(/^[ab\0]{0,3}$/);
const requests = fc.record({
  messages: fc.array(fc.record({ role: fc.constantFrom(Role.ROLE_USER, Role.ROLE_SYSTEM), text }), { maxLength: 3 }),
  sampling: fc.option(fc.record({ temperature: figure, topP: figure, seed: fc.constantFrom(undefined, 0, 1) }), {
    nil: undefined,
  }),
  maxTokens: fc.constantFrom(undefined, 512, 7),
  stop: fc.array(text, { maxLength: 2 }),
  jsonSchema: fc.constantFrom('', '{}', '{"a":1,"b":2}', '{"b":2,"a":1}', '{"a":1,"b":[2]}'),
});

/** What the bytes stand for, said once more in another way. */
function meaning({ messages, sampling, maxTokens, stop, jsonSchema }: ReturnType<typeof chat>): string {
  const schema = jsonSchema === '' ? null : Object.entries(JSON.parse(jsonSchema)).toSorted();
  const drawn = [sampling?.temperature ?? null, sampling?.topP ?? null, sampling?.seed ?? null];
  return JSON.stringify([
    messages.map(({ role, text }) => [role, text]),
    drawn,
    maxTokens ?? 512,
    [...new Set(stop)].toSorted(),
    schema,
  ]);
}

test('bytes are equal exactly when the requests mean the same', () => {
  fc.assert(
    fc.property(requests, requests, (a, b) => {
      const [one, other] = [chat(a), chat(b)];
      expect(hex(canonicalChat(one)) === hex(canonicalChat(other))).toBe(meaning(one) === meaning(other));
    }),
    { numRuns: 5000 },
  );
});

test('no two of many small requests meet', () => {
  const meanings = new Map<string, string>();
  for (const one of fc.sample(requests, 20_000).map(chat)) {
    const bytes = hex(canonicalChat(one));
    expect(meanings.get(bytes) ?? meaning(one)).toBe(meaning(one));
    meanings.set(bytes, meaning(one));
  }
});

test('what a request is survives its way over the wire', () => {
  fc.assert(
    fc.property(requests, (partly) => {
      const one = chat(partly);
      expect(hex(canonicalChat(ChatRequest.decode(ChatRequest.encode(one).finish())))).toBe(hex(canonicalChat(one)));
    }),
  );
});

test('a schema that is nested without end is taken as it is', () => {
  const deep = (inner: string) => `{"a":${'['.repeat(30_000)}${inner}${']'.repeat(30_000)}}`;
  expect(of({ jsonSchema: deep('1') })).not.toBe(of({ jsonSchema: deep('2') }));
});

describe('an answer is of one model', () => {
  const model = { name: 'stories', digest: 'sha256:aa', engine: 'llama-cpp', engineVersion: '1' };
  const canonical = canonicalChat(chat());

  it.each(['name', 'digest', 'engine', 'engineVersion'] as const)('with another %s it is another', (field) => {
    expect(hex(answerContent(canonical, model))).not.toBe(hex(answerContent(canonical, { ...model, [field]: 'x' })));
  });

  it('nothing moves from one field to the next', () => {
    const moved = { ...model, name: 'storiess', digest: 'ha256:aa' };
    expect(hex(answerContent(canonical, model))).not.toBe(hex(answerContent(canonical, moved)));
  });
});

describe('a choice depends on', () => {
  const canonical = canonicalChat(chat());
  const auto = { type: 'auto' };
  const wishes = { preference: { cost: 0.5, quality: 0.5 }, zones: ['a'], limits: { maxCostUsd: undefined } };
  const plain = hex(choiceContent(canonical, auto, wishes));

  it('what is wished for, in whichever order it is said', () => {
    const same = { zones: ['a'], limits: {}, preference: { quality: 0.5, cost: 0.5 } };
    expect(hex(choiceContent(canonical, auto, same))).toBe(plain);
    expect(hex(choiceContent(canonical, auto, { ...wishes, zones: [] }))).not.toBe(plain);
  });

  it('the tier that is asked for', () => {
    expect(hex(choiceContent(canonical, { type: 'tier', tier: 1 }, wishes))).not.toBe(plain);
  });

  it('the request', () => {
    expect(hex(choiceContent(canonicalChat(chat({ maxTokens: 1 })), auto, wishes))).not.toBe(plain);
  });
});

describe('a scope', () => {
  const model = modelContent({ name: 'stories', digest: 'd', engine: 'e', engineVersion: '1' });
  const scope = (messages: ChatRequest['messages'], more: Partly = {}) => hex(scopeContent(chat({ messages, ...more }), model));

  it('is the same whatever the last user message says', () => {
    expect(scope([system('s'), user('a')])).toBe(scope([system('s'), user('b')]));
  });

  it('differs by what came before', () => {
    expect(scope([user('x'), user('a')])).not.toBe(scope([user('y'), user('a')]));
    expect(scope([system('x'), user('a')])).not.toBe(scope([system('y'), user('a')]));
  });

  it('differs by what stands behind the last user message', () => {
    expect(scope([user('a'), { role: Role.ROLE_ASSISTANT, text: 'x' }])).not.toBe(scope([user('a')]));
  });

  it('differs by how tokens are drawn, and by who answers', () => {
    expect(scope([user('a')], { sampling: { temperature: 0 } })).not.toBe(scope([user('a')]));
    expect(hex(scopeContent(chat(), openContent({ type: 'auto' }, {})))).not.toBe(hex(scopeContent(chat(), model)));
  });

  it('is no answer, and no choice', () => {
    const kinds = [canonicalChat(chat()), scopeContent(chat(), model), model, openContent({}, {})].map(hex);
    expect(new Set(kinds).size).toBe(kinds.length);
  });
});

test('JSON has one form', () => {
  expect(canonicalJson({ b: [1, { d: null, c: 'x' }], a: 1.0, e: undefined })).toBe('{"a":1,"b":[1,{"c":"x","d":null}]}');
});
