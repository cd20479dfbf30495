/**
 * What a router remembers of joining, in a folder that only its owner reads:
 *
 *   FOLDER/tokens/HEX.json   a join token that nobody has used yet, by its SHA-256
 *   FOLDER/nodes/ID.json     the key that a node's id belongs to, by its SHA-256; remove the file to let go of the id
 *
 * A token is used by removing its file and an id is bound by making one, which the file system lets one process do each:
 * routers that share the folder let a token in once between them.
 */

import { randomBytes } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { Fault } from '../../proto/contract/faults.ts';

export interface PendingToken {
  /** The only id that it lets in; undefined: any. */
  readonly node?: string | undefined;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

const pending = z.object({ node: z.string().optional(), expiresAt: z.number() });
const bound = z.object({ key: z.string() });
/** No digest. */
const NO_KEY = '';

/** Digests are sha256:HEX; ids are within their bounds, and so names of files. */
export class TrustFolder {
  readonly #tokens: string;
  readonly #nodes: string;

  constructor(folder: string) {
    this.#tokens = join(folder, 'tokens');
    this.#nodes = join(folder, 'nodes');
  }

  /** Keeps a new token, and drops those that have expired. @throws Fault INVALID_REQUEST when the disk won't have it */
  add(digest: string, token: PendingToken, now: number): void {
    this.#make(this.#tokens);
    for (const name of readdirSync(this.#tokens)) {
      const path = join(this.#tokens, name);
      const old = read(path, pending);
      if (old && old.expiresAt <= now) rmSync(path, { force: true });
    }
    this.#write(this.#tokenPath(digest), token);
  }

  token(digest: string): PendingToken | undefined {
    return read(this.#tokenPath(digest), pending);
  }

  /** @returns true for one caller only */
  take(digest: string): boolean {
    try {
      unlinkSync(this.#tokenPath(digest));
      return true;
    } catch {
      return false;
    }
  }

  /** @returns the digest of the key that the id belongs to; of none, where its file is damaged */
  keyOf(node: string): string | undefined {
    const path = join(this.#nodes, `${node}.json`);
    return read(path, bound)?.key ?? (existsSync(path) ? NO_KEY : undefined);
  }

  /** @returns whether the id belongs to the key now @throws Fault INVALID_REQUEST when the disk won't have it */
  bind(node: string, key: string): boolean {
    this.#make(this.#nodes);
    this.#write(join(this.#nodes, `${node}.json`), { key, since: new Date().toISOString() });
    return this.keyOf(node) === key;
  }

  #tokenPath(digest: string): string {
    return join(this.#tokens, `${digest.replace('sha256:', '')}.json`);
  }

  #make(folder: string): void {
    unlessRefused(folder, () => mkdirSync(folder, { recursive: true, mode: 0o700 }));
  }

  /** Whole or not at all, and never over one that is there. */
  #write(path: string, content: object): void {
    const draft = `${path}.${randomBytes(6).toString('hex')}`;
    try {
      unlessRefused(path, () => {
        writeFileSync(draft, `${JSON.stringify(content)}\n`, { mode: 0o600, flag: 'wx' });
        linkSync(draft, path);
      });
    } finally {
      rmSync(draft, { force: true });
    }
  }
}

function unlessRefused(path: string, write: () => void): void {
  try {
    write();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'EEXIST') throw new Fault('INVALID_REQUEST', `cannot write ${path}: ${code}`, { cause });
  }
}

/** @returns undefined for what is not there, and for what is no such record */
function read<T>(path: string, schema: z.ZodType<T>): T | undefined {
  try {
    return schema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return undefined;
  }
}
