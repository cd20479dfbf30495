import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ChatRequest } from '../../../proto/gen/infermesh/v1/inference.ts';
import { Role } from '../../../proto/gen/infermesh/v1/types.ts';
import { bodyDigest, keyDigest } from '../../../router/idempotency/digest.ts';

const request = (more: Partial<ChatRequest> = {}) =>
  ChatRequest.fromPartial({ messages: [{ role: Role.ROLE_USER, text: 'hello' }], ...more });

it('a body is the same whatever its key, the order of its labels and the way it came', () => {
  const label = fc.tuple(fc.stringMatching(/^[A-Za-z0-9._/-]{1,8}$/), fc.string());
  const labels = fc.uniqueArray(label, { maxLength: 8, selector: ([name]) => name });
  fc.assert(
    fc.property(labels, fc.string(), fc.infiniteStream(fc.nat()), (entries, idempotencyKey, chance) => {
      const shuffled = entries
        .map((entry) => [chance.next().value, entry] as const)
        .toSorted(([a], [b]) => a - b)
        .map(([, entry]) => entry);
      const one = request({ labels: Object.fromEntries(entries) });
      const other = request({ labels: Object.fromEntries(shuffled), idempotencyKey });
      const sent = ChatRequest.decode(ChatRequest.encode(other).finish());
      expect(bodyDigest(other)).toBe(bodyDigest(one));
      expect(bodyDigest(sent)).toBe(bodyDigest(one));
    }),
  );
});

it('a body is another one as soon as anything in it is', () => {
  const bodies = [
    request(),
    request({ messages: [{ role: Role.ROLE_USER, text: 'hallo' }] }),
    request({ messages: [{ role: Role.ROLE_ASSISTANT, text: 'hello' }] }),
    request({ maxTokens: 5 }),
    request({ target: { $case: 'model', value: 'm' } }),
    request({ sampling: { seed: 1 } }),
    request({ labels: { a: 'b' } }),
    request({ labels: { b: 'a' } }),
    request({ sessionId: 's' }),
  ];
  expect(new Set(bodies.map(bodyDigest)).size).toBe(bodies.length);
});

it("two tenants' keys never meet, and none is kept in the clear", () => {
  const digests = [keyDigest(undefined, 'k'), keyDigest('a', 'k'), keyDigest('b', 'k'), keyDigest('a', 'l')];
  expect(new Set(digests).size).toBe(4);
  expect(keyDigest('a', 'k')).toBe(keyDigest('a', 'k'));
  expect(keyDigest('tenant', 'secret-key')).not.toContain('secret');
});
