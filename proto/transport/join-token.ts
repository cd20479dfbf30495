/** The secret that lets a node join a router: one line in a file that only its owner reads. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Fault } from '../contract/faults.ts';

const FORM = /^[\x21-\x7e]{16,512}$/;

/** @throws Fault INVALID_REQUEST when the file can't be read or holds no token */
export function readToken(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw new Fault('INVALID_REQUEST', `cannot read the join token in ${path}: ${(cause as NodeJS.ErrnoException).code}`, {
      cause,
    });
  }
  if (!FORM.test(text)) {
    throw new Fault('INVALID_REQUEST', `${path} holds no join token: it must be one line of 16 to 512 printable characters`);
  }
  return text;
}

/** Reads the token, or makes one where there is no file yet. */
export function readOrCreateToken(path: string): string {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    writeFileSync(path, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return readToken(path);
}

/** In constant time, whatever the lengths. */
export function sameToken(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

export function bearer(token: string): string {
  return `Bearer ${token}`;
}

export function tokenOf(authorization: string | undefined): string | undefined {
  return authorization?.startsWith('Bearer ') ? authorization.slice('Bearer '.length) : undefined;
}
