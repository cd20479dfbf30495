import { createCipheriv, randomBytes } from 'node:crypto';
import { zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { MAX_SEALED_BYTES, MAX_VALUE_BYTES, open, seal } from '../../cache/envelope.ts';
import { SecretKeyring } from '../../cache/keyring.ts';
import { prefixesOf } from '../../cache/names.ts';
import type { KeyKind } from '../../cache/port.ts';

const KINDS: readonly KeyKind[] = ['answers', 'choices', 'evidence', 'embeddings', 'leases', 'semantic'];
const SECRET = 'a secret of the mesh, for tests only';
const keyring = new SecretKeyring(SECRET);
const bytes = (text: string) => Buffer.from(text);
const value = bytes('what is kept');

describe('a name', () => {
  it('is the same at every router with the secret', () => {
    const other = new SecretKeyring(SECRET);
    expect(other.of('acme').key('answers', value).name).toBe(keyring.of('acme').key('answers', value).name);
  });

  it('tells nothing of tenant and content, and has no sign that stands for others in a pattern', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.string(), fc.constantFrom(...KINDS), (tenant, content, kind) => {
        const { name } = keyring.of(tenant).key(kind, bytes(content));
        expect(name).toMatch(/^im1:[acdels]:[A-Za-z0-9_-]{16}:[A-Za-z0-9_-]{43}$/);
      }),
    );
  });

  it('is another for another secret, tenant, kind or content', () => {
    const all = [SECRET, 'another secret of another mesh'].flatMap((secret) =>
      [undefined, '', 'a', 'b', 'nobody', 'tenant a'].flatMap((tenant) =>
        KINDS.flatMap((kind) =>
          ['', 'x', 'y'].map((content) => new SecretKeyring(secret).of(tenant).key(kind, bytes(content)).name),
        ),
      ),
    );
    expect(new Set(all).size).toBe(all.length);
  });

  it('begins with the prefixes of its layer and of its tenant, and with no other', () => {
    const tag = keyring.tagOf('acme');
    const isIn = (prefixes: readonly string[], name: string) => prefixes.some((prefix) => name.startsWith(prefix));
    const { name } = keyring.of('acme').key('evidence', value);
    for (const layer of [undefined, 'evidence'] as const) {
      expect(isIn(prefixesOf(layer, undefined), name)).toBe(true);
      expect(isIn(prefixesOf(layer, tag), name)).toBe(true);
      expect(isIn(prefixesOf(layer, keyring.tagOf('bolt')), name)).toBe(false);
      expect(isIn(prefixesOf(layer, keyring.tagOf(undefined)), name)).toBe(false);
    }
    expect(isIn(prefixesOf('answers', undefined), name)).toBe(false);
    expect(isIn(prefixesOf('answers', tag), keyring.of('acme').key('choices', value).name)).toBe(true);
    expect(isIn(prefixesOf(undefined, undefined), keyring.of('acme').key('leases', value).name)).toBe(false);
  });

  it('goes on being made for more tenants than are remembered', () => {
    const names = Array.from({ length: 5000 }, (_, index) => keyring.of(`tenant-${index}`).key('answers', value).name);
    expect(new Set(names).size).toBe(5000);
    expect(keyring.of('tenant-0').key('answers', value).name).toBe(names[0]);
  });
});

describe('an envelope', () => {
  const key = keyring.of('acme').key('answers', value);

  it('gives back what was sealed, whatever it is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), (content) => {
        expect(key.open(key.seal(content))).toEqual(Buffer.from(content));
      }),
    );
  });

  it('is never twice the same', () => {
    expect(key.seal(value)).not.toEqual(key.seal(value));
  });

  it('does not show what is in it', () => {
    expect(key.seal(value).includes(value)).toBe(false);
  });

  it('is smaller than what is worth compressing', () => {
    expect(key.seal(bytes('again and again. '.repeat(1000))).length).toBeLessThan(1000);
    expect(key.seal(randomBytes(5000)).length).toBeLessThan(5100);
  });

  it.each<[string, () => { open(sealed: Buffer): Buffer | undefined }]>([
    ['another tenant', () => keyring.of('bolt').key('answers', value)],
    ['the tenant without a name', () => keyring.of(undefined).key('answers', value)],
    ['another kind', () => keyring.of('acme').key('evidence', value)],
    ['another name', () => keyring.of('acme').key('answers', bytes('other'))],
    ['another secret', () => new SecretKeyring('another secret of another mesh').of('acme').key('answers', value)],
    ['the mesh itself', () => keyring.ofMesh('purges')],
  ])('does not open for %s', (_name, other) => {
    expect(other().open(key.seal(value))).toBeUndefined();
  });

  it('does not open when a bit of it has changed', () => {
    const sealed = key.seal(value);
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = Buffer.from(sealed);
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(key.open(changed)).toBeUndefined();
    }
  });

  it('does not open when some of it is missing, or more has come', () => {
    const sealed = key.seal(value);
    for (let length = 0; length < sealed.length; length++) expect(key.open(sealed.subarray(0, length))).toBeUndefined();
    expect(key.open(Buffer.concat([sealed, Buffer.of(0)]))).toBeUndefined();
  });

  it('does not open for anything that nobody sealed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (foreign) => {
        expect(key.open(Buffer.from(foreign))).toBeUndefined();
      }),
    );
  });
});

describe('a value', () => {
  const secret = Buffer.alloc(32, 7);

  it('may be as large as the bound and no larger', () => {
    const largest = Buffer.alloc(MAX_VALUE_BYTES);
    expect(open(secret, 'name', seal(secret, 'name', largest))?.length).toBe(MAX_VALUE_BYTES);
    expect(() => seal(secret, 'name', Buffer.alloc(MAX_VALUE_BYTES + 1))).toThrow(RangeError);
  });

  it('that would become larger than a value may be does not open, whoever sealed it', () => {
    const made = (encoding: number, body: Buffer) => {
      const nonce = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', secret, nonce).setAAD(Buffer.from('\u0001name'));
      const sealed = Buffer.concat([cipher.update(Buffer.concat([Buffer.of(encoding), body])), cipher.final()]);
      return Buffer.concat([Buffer.of(1), nonce, cipher.getAuthTag(), sealed]);
    };
    expect(open(secret, 'name', made(1, zstdCompressSync(Buffer.alloc(MAX_VALUE_BYTES))))?.length).toBe(MAX_VALUE_BYTES);
    expect(open(secret, 'name', made(1, zstdCompressSync(Buffer.alloc(100 << 20))))).toBeUndefined();
    expect(open(secret, 'name', made(1, Buffer.from('not compressed at all')))).toBeUndefined();
    expect(open(secret, 'name', made(2, Buffer.from('of no encoding')))).toBeUndefined();
  });

  it('that cannot be compressed still opens at the bound', () => {
    const sealed = seal(secret, 'name', randomBytes(MAX_VALUE_BYTES));
    expect(sealed.length).toBe(MAX_SEALED_BYTES);
    expect(open(secret, 'name', sealed)?.length).toBe(MAX_VALUE_BYTES);
  });
});

test('1,000 pairs of tenants with the same content have nothing in common', () => {
  for (let index = 0; index < 1000; index++) {
    const [one, other] = [`a${index}`, `b${index}`].map((tenant) => keyring.of(tenant).key('answers', value));
    expect(one?.name).not.toBe(other?.name);
    expect(other?.open(one?.seal(value) as Buffer)).toBeUndefined();
    expect(one?.open(one?.seal(value))).toEqual(value);
  }
});
