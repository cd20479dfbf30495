import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BLOCK_BYTES, MOST_PREFIXES, prefixesOf } from '../../proto/contract/prefix.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';

const user = (text: string) => ({ role: Role.ROLE_USER, text });
const role = fc.constantFrom(Role.ROLE_SYSTEM, Role.ROLE_USER, Role.ROLE_ASSISTANT);
const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.nat({ max: 9000 }).map((length) => 'naïve 森🐉 '.repeat(length).slice(0, length)),
);
const message = fc.record({ role, text });
const conversation = fc.array(message, { minLength: 1, maxLength: 12 });
const hashesOf = (prefixes: ReturnType<typeof prefixesOf>) => prefixes.map(({ hash }) => hash);

describe("a conversation's prefixes", () => {
  it('end with each message and with each block of a long one', () => {
    const messages = [user('é'), user('x'.repeat(2 * BLOCK_BYTES + 1)), user('y'.repeat(BLOCK_BYTES)), user('')];
    const start = 2;
    const end = start + 2 * BLOCK_BYTES + 1;
    expect(prefixesOf(messages).map(({ bytes }) => bytes)).toEqual([
      start,
      start + BLOCK_BYTES,
      start + 2 * BLOCK_BYTES,
      end,
      end + BLOCK_BYTES,
      end + BLOCK_BYTES,
    ]);
    expect(prefixesOf([])).toEqual([]);
  });

  it('are safe integers and ascend in bytes', () => {
    fc.assert(
      fc.property(conversation, (messages) => {
        const prefixes = prefixesOf(messages);
        expect(prefixes.length).toBeLessThanOrEqual(MOST_PREFIXES);
        expect(prefixes.at(-1)?.bytes).toBe(messages.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0));
        prefixes.forEach(({ hash, bytes }, i) => {
          expect(Number.isSafeInteger(hash) && hash >= 0).toBe(true);
          expect(bytes).toBeGreaterThanOrEqual(prefixes[i - 1]?.bytes ?? 0);
        });
      }),
    );
  });

  it('are those of the earlier conversation, when it goes on', () => {
    fc.assert(
      fc.property(conversation, conversation, (before, more) => {
        const earlier = prefixesOf(before, Number.MAX_SAFE_INTEGER);
        const later = prefixesOf([...before, ...more], Number.MAX_SAFE_INTEGER);
        expect(later.slice(0, earlier.length)).toEqual(earlier);
      }),
    );
  });

  it('differ from where the conversations differ', () => {
    fc.assert(
      fc.property(conversation, message, message, conversation, (before, one, other, after) => {
        fc.pre(one.role !== other.role || one.text !== other.text);
        const first = new Set(hashesOf(prefixesOf([...before, one, ...after])));
        const blocks = prefixesOf([one]).length - 1;
        const second = hashesOf(prefixesOf([...before, other, ...after]));
        const shared = second.filter((hash) => first.has(hash)).length;
        expect(shared).toBeLessThanOrEqual(prefixesOf(before).length + blocks);
      }),
    );
  });

  it.each([
    ['the role', [user('a')], [{ role: Role.ROLE_SYSTEM, text: 'a' }]],
    ['where a message ends', [user('ab'), user('c')], [user('a'), user('bc')]],
    ['an end within a longer text', [user('a')], [user('ab')]],
    ['empty messages', [user('')], [user(''), user('')]],
    ['accents', [user('e')], [user('é')]],
  ])('tell apart %s', (_, one, other) => expect(prefixesOf(one).at(-1)?.hash).not.toBe(prefixesOf(other).at(-1)?.hash));

  it('do not collide among a hundred thousand texts', () => {
    const hashes = new Set(Array.from({ length: 100_000 }, (_, i) => prefixesOf([user(`message ${i}`)])[0]?.hash));
    expect(hashes.size).toBe(100_000);
  });

  it('of a long conversation are the newest and ever fewer of the older', () => {
    const messages = Array.from({ length: 1000 }, (_, i) => user(`turn ${i}`));
    const prefixes = prefixesOf(messages);
    const all = prefixesOf(messages, 1000);
    expect(prefixes.length).toBeLessThanOrEqual(MOST_PREFIXES);
    expect(prefixes.slice(-32)).toEqual(all.slice(-32));
    expect(prefixes.filter(({ bytes }) => bytes < 4000).length).toBeGreaterThan(4);
  });

  it('that a longer conversation keeps of its beginning, the shorter one had kept too', () => {
    fc.assert(
      fc.property(fc.nat({ max: 700 }), fc.nat({ max: 300 }), fc.integer({ min: 2, max: 80 }), (length, more, most) => {
        const messages = Array.from({ length: length + more }, (_, i) => user(`turn ${i}`));
        const before = new Set(hashesOf(prefixesOf(messages.slice(0, length), most)));
        const common = new Set(hashesOf(prefixesOf(messages.slice(0, length), Number.MAX_SAFE_INTEGER)));
        for (const hash of hashesOf(prefixesOf(messages, most))) {
          if (common.has(hash)) expect(before.has(hash)).toBe(true);
        }
      }),
    );
  });
});
