/** The secret that lets a node join a router: one line in a file that only its owner reads. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Fault } from '../contract/faults.ts';

const FORM = /^[\x21-\x7e]{16,512}$/;

/** @throws Fault INVALID_REQUEST when the file can't be read or holds no token */
export function readToken(path: string): string {
  return readSecret(path, 'join token');
}

/** @throws Fault INVALID_REQUEST when the file can't be read or holds no key */
export function readApiKey(path: string): string {
  return readSecret(path, 'API key');
}

function readSecret(path: string, kind: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw new Fault('INVALID_REQUEST', `cannot read the ${kind} in ${path}: ${(cause as NodeJS.ErrnoException).code}`, {
      cause,
    });
  }
  if (!FORM.test(text)) {
    throw new Fault('INVALID_REQUEST', `${path} holds no ${kind}: it must be one line of 16 to 512 printable characters`);
  }
  return text;
}

/** Reads the token, or makes one where there is no file yet. */
export function readOrCreateToken(path: string): string {
  return readOrCreateSecret(path, 'join token');
}

/**
 * @param kind what it is, for errors: join token
 * @throws Fault INVALID_REQUEST when the file can't be read or made, or holds none
 */
export function readOrCreateSecret(path: string, kind: string): string {
  if (!existsSync(path)) create(path, kind);
  return readSecret(path, kind);
}

/** Whole or not at all: a node may read it in the same instant. */
function create(path: string, kind: string): void {
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  const failed = (cause: unknown) =>
    new Fault('INVALID_REQUEST', `cannot make a ${kind} in ${path}: ${(cause as NodeJS.ErrnoException).code}`, { cause });
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw failed(cause);
  }
  try {
    writeFileSync(draft, `${newSecret()}\n`, { mode: 0o600, flag: 'wx' });
    linkSync(draft, path);
  } catch (cause) {
    // Another router was quicker; its secret is as good.
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw failed(cause);
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Whether it has the form of a token, which says nothing of whether it is a good one. */
export function isToken(text: string): boolean {
  return FORM.test(text);
}

/** A new secret: 256 bits of chance behind a name of what it is for. */
export function newSecret(prefix = ''): string {
  return `${prefix}${randomBytes(32).toString('base64url')}`;
}

/** As which secrets are kept: sha256:HEX. */
export function digestOfSecret(secret: string): string {
  return `sha256:${createHash('sha256').update(secret).digest('hex')}`;
}

/** Whether others than its owner may read the file. */
export function isExposed(path: string): boolean {
  return (statSync(path).mode & 0o077) !== 0;
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
