import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { framed, isWhole, messagesOf } from '../../proto/transport/framing.ts';

const message = fc.uint8Array({ maxLength: 300 });
const bytes = (array: Uint8Array) => Buffer.from(array).toString('hex');

describe('framing', () => {
  it('gives back the messages that went in, whatever they are', () => {
    fc.assert(
      fc.property(fc.array(message, { minLength: 1 }), (messages) => {
        const data = Buffer.concat(messages.map(framed));
        expect(isWhole(data)).toBe(true);
        expect(messagesOf(data).map(bytes)).toEqual(messages.map(bytes));
      }),
    );
  });

  it('finds every cut', () => {
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 4 }), fc.nat(), (messages, at) => {
        const data = Buffer.concat(messages.map(framed));
        const ends = messages.map((_, i) => Buffer.concat(messages.slice(0, i + 1).map(framed)).length);
        const cut = at % data.length;
        expect(isWhole(data.subarray(0, cut))).toBe(ends.includes(cut));
      }),
    );
  });

  it('takes no compressed message, no empty sequence, no length beyond the end', () => {
    expect(isWhole(Buffer.from([1, 0, 0, 0, 0]))).toBe(false);
    expect(isWhole(Buffer.alloc(0))).toBe(false);
    expect(isWhole(Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1]))).toBe(false);
  });

  it('never throws on bytes from a stranger', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (data) => void isWhole(Buffer.from(data))));
  });
});
