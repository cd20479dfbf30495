import fc from 'fast-check';
import { expect, test } from 'vitest';
import { codeOf } from '../../../cache/redis/replies.ts';

test.each([
  [new Error('WRONGTYPE Operation against a key holding the wrong kind of value'), 'WRONGTYPE'],
  [new Error("OOM command not allowed when used memory > 'maxmemory'."), 'OOM'],
  [new Error("READONLY You can't write against a read only replica. script: 1"), 'READONLY'],
  [new Error('BUSYGROUP Consumer Group name already exists'), 'OTHER'],
  [new Error('Connection is closed.'), 'LOST'],
  [Object.assign(new Error('connect ECONNREFUSED 10.0.0.1:6379'), { code: 'ECONNREFUSED' }), 'ECONNREFUSED'],
  [Object.assign(new Error('odd'), { code: 'secret' }), 'OTHER'],
  ['not an error', 'OTHER'],
  [undefined, 'OTHER'],
])('%s is told as %s', (error, code) => expect(codeOf(error)).toBe(code));

test('whatever a server says, only codes of the list come out', () => {
  const known = /^(?:[A-Z_]{2,40})$/;
  fc.assert(
    fc.property(fc.string(), (text) => {
      const secret = `SECRET${text}`;
      expect(codeOf(new Error(secret))).toBe('OTHER');
      expect(codeOf(new Error(text))).toMatch(known);
    }),
  );
});
