import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { bearer, readOrCreateToken, readToken, sameToken, tokenOf } from '../../proto/transport/join-token.ts';

const folder = mkdtempSync(join(tmpdir(), 'infermesh-token-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a join token', () => {
  it('is made once, for its owner alone, and then read', () => {
    const path = join(folder, 'new', 'token');
    const token = readOrCreateToken(path);
    expect(token).toMatch(/^[\w-]{43}$/);
    expect(readOrCreateToken(path)).toBe(token);
    expect(readToken(path)).toBe(token);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it.each([
    ['nothing', ''],
    ['too short', 'short'],
    ['two lines', 'a-token-of-one-line-and\nanother-line-with-more'],
    ['too long', 'x'.repeat(513)],
    ['not ASCII', 'ein-schönes-geheimnis-für-alle'],
  ])('is refused when its file holds %s, without quoting it', (_what, text) => {
    const path = join(folder, 'bad');
    writeFileSync(path, text);
    const read = () => readToken(path);
    expect(read).toThrow(expect.objectContaining({ reason: 'INVALID_REQUEST' }));
    if (text) expect(read).not.toThrow(text.slice(0, 10));
  });

  it('whose file is not there is told so', () => {
    expect(() => readToken(join(folder, 'absent'))).toThrow(/cannot read the join token in .*absent: ENOENT/);
  });

  it('is the same only when it is the same', () => {
    expect(sameToken('abc', 'abc')).toBe(true);
    for (const other of ['', 'ab', 'abcd', 'ABC', 'abc ']) expect(sameToken('abc', other)).toBe(false);
  });

  it('travels as a bearer token and nothing else', () => {
    expect(tokenOf(bearer('abc'))).toBe('abc');
    for (const header of [undefined, '', 'abc', 'Basic abc', 'bearer abc']) expect(tokenOf(header)).toBeUndefined();
  });
});
