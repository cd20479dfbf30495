/**
 * The form in which values lie in Redis and in snapshots: encrypted and authenticated, so that they tell nothing but
 * their length, and nobody without the secret can make or change one.
 *
 *   version (1) | nonce (12) | tag (16) | AES-256-GCM of ( encoding (1) | body )
 *
 * The version and the name that the value lies under are authenticated as well: one that was moved to another name, or
 * is of another version, does not open.
 *
 * Compression before encryption can betray a secret by the length, where somebody puts text of his own beside it in one
 * message, many times, and watches (CRIME). A value here is one tenant's alone, is compressed by itself, and never has
 * credentials in it; who asks for an answer is who reads it.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';

const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + NONCE_BYTES + TAG_BYTES;
const PLAIN = 0;
const ZSTD = 1;
/** Below it compressing costs more than the bytes are worth. */
const COMPRESS_FROM_BYTES = 1024;
const ZSTD_OPTIONS = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** Of one value as it is before it is sealed. */
export const MAX_VALUE_BYTES = 4 << 20;
/** Of one value in its envelope. */
export const MAX_SEALED_BYTES = MAX_VALUE_BYTES + HEAD_BYTES + 1;

/**
 * @param key 32 bytes, for this name alone: nonces are drawn by chance, and one key may see only so many of them
 * @throws RangeError over MAX_VALUE_BYTES
 */
export function seal(key: Uint8Array, name: string, value: Uint8Array): Buffer {
  if (value.length > MAX_VALUE_BYTES) throw new RangeError(`must be at most ${MAX_VALUE_BYTES} bytes, received ${value.length}`);
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(authenticated(name));
  const { encoding, body } = packed(value);
  const sealed = Buffer.concat([cipher.update(Buffer.of(encoding)), cipher.update(body), cipher.final()]);
  return Buffer.concat([Buffer.of(VERSION), nonce, cipher.getAuthTag(), sealed]);
}

/** Undefined: not sealed by this key for this name, or damaged. */
export function open(key: Uint8Array, name: string, sealed: Buffer): Buffer | undefined {
  if (sealed.length <= HEAD_BYTES || sealed.length > MAX_SEALED_BYTES || sealed[0] !== VERSION) return undefined;
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(1, 1 + NONCE_BYTES));
    decipher.setAAD(authenticated(name));
    decipher.setAuthTag(sealed.subarray(1 + NONCE_BYTES, HEAD_BYTES));
    return unpacked(Buffer.concat([decipher.update(sealed.subarray(HEAD_BYTES)), decipher.final()]));
  } catch {
    return undefined;
  }
}

function authenticated(name: string): Buffer {
  return Buffer.from(`${String.fromCharCode(VERSION)}${name}`);
}

function packed(value: Uint8Array): { readonly encoding: number; readonly body: Uint8Array } {
  if (value.length < COMPRESS_FROM_BYTES) return { encoding: PLAIN, body: value };
  const body = zstdCompressSync(value, ZSTD_OPTIONS);
  return body.length < value.length ? { encoding: ZSTD, body } : { encoding: PLAIN, body: value };
}

/** @throws Error for what would become larger than a value may be */
function unpacked(opened: Buffer): Buffer | undefined {
  const body = opened.subarray(1);
  if (opened[0] === PLAIN) return body;
  return opened[0] === ZSTD ? zstdDecompressSync(body, { maxOutputLength: MAX_VALUE_BYTES }) : undefined;
}
