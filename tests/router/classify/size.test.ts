import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Role } from '../../../proto/gen/infermesh/v1/types.ts';
import { fewestTokens, sizeOf } from '../../../router/classify/size.ts';

const user = (text: string) => ({ role: Role.ROLE_USER, text });

describe('the size of a request', () => {
  it('is estimated from bytes, and never below the fewest tokens it can have', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' }), { minLength: 1 }), (texts) => {
        const size = sizeOf(texts.map(user));
        expect(size.promptBytes).toBe(texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0));
        expect(size.promptTokens).toBeGreaterThanOrEqual(fewestTokens(size.promptBytes));
      }),
    );
  });

  it('counts what a chat template puts around each message', () => {
    expect(sizeOf([user('')]).promptTokens).toBeGreaterThan(0);
    expect(sizeOf([user('ab'), user('cd')]).promptTokens).toBeGreaterThan(sizeOf([user('abcd')]).promptTokens);
  });
});
