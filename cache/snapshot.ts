/**
 * The most used entries of a router without Redis, in a file that only its owner reads and that tells as little as Redis
 * would:
 *
 *   magic | ( name's length (2) | name | ends at (8) | hits (4) | length (4) | sealed value )* | SHA-256 of all before (32)
 *
 * Values are sealed as for Redis and are opened when somebody asks for them, so that a start does not wait for any.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import type { CacheLayer, Sealable } from './layer.ts';

const MAGIC = Buffer.from('infermesh cache snapshot 1\n');
const DIGEST_BYTES = 32;
const HEAD_BYTES = 2 + 8 + 4 + 4;
const MOST_ENTRIES = 10_000;
const MOST_BYTES = 32 << 20;
/** Of each layer, the most recently used: a large memory is not looked through as a whole. */
const MOST_CANDIDATES = 20_000;
/** Sealing takes time of the processor; requests come in between. */
const ENTRIES_PER_TURN = 16;

export interface Entry {
  readonly name: string;
  readonly sealed: Buffer;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  readonly hits: number;
}

type Layers = readonly Pick<CacheLayer<never>, 'recent'>[];

/** Whole or not at all. @returns false when it was `stale` before it was written @throws Error of the file system */
export async function writeSnapshot(path: string, layers: Layers, isStale: () => boolean): Promise<boolean> {
  const parts = await sealedEntries(layers, isStale);
  if (isStale()) return false;
  const content = [MAGIC, ...parts];
  const hash = createHash('sha256');
  for (const part of content) hash.update(part);
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    const file = await open(draft, 'wx', 0o600);
    try {
      await file.writev([...content, hash.digest()]);
      await file.sync();
    } finally {
      await file.close();
    }
    if (isStale()) return false;
    await rename(draft, path);
    return true;
  } finally {
    await rm(draft, { force: true });
  }
}

/**
 * @returns the most used first; undefined: there is no file
 * @throws Error with a code of the system, or DAMAGED
 */
export function readSnapshot(path: string): readonly Entry[] | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return undefined;
  if (!stat.isFile() || stat.size > 2 * MOST_BYTES) throw damaged();
  const content = readFileSync(path);
  const end = content.length - DIGEST_BYTES;
  if (end < MAGIC.length || !content.subarray(0, MAGIC.length).equals(MAGIC)) throw damaged();
  if (!createHash('sha256').update(content.subarray(0, end)).digest().equals(content.subarray(end))) throw damaged();
  return entriesIn(content.subarray(MAGIC.length, end));
}

async function sealedEntries(layers: Layers, isStale: () => boolean): Promise<Buffer[]> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for (const [count, { name, hits, expiresAt, seal }] of mostUsed(layers).entries()) {
    if (count % ENTRIES_PER_TURN === 0) await turn();
    if (isStale()) break;
    const sealed = seal();
    if (!sealed || bytes + sealed.length > MOST_BYTES) continue;
    bytes += sealed.length;
    parts.push(headOf({ name, sealed, expiresAt, hits }), sealed);
  }
  return parts;
}

function mostUsed(layers: Layers): Sealable[] {
  const all = layers.flatMap((layer) => layer.recent(MOST_CANDIDATES));
  return all.toSorted((a, b) => b.hits - a.hits).slice(0, MOST_ENTRIES);
}

function headOf({ name, sealed, expiresAt, hits }: Entry): Buffer {
  const length = Buffer.byteLength(name);
  const head = Buffer.allocUnsafe(HEAD_BYTES + length);
  head.writeUInt16BE(length);
  head.write(name, 2);
  head.writeDoubleBE(expiresAt, 2 + length);
  head.writeUInt32BE(Math.min(hits, 0xffff_ffff), 10 + length);
  head.writeUInt32BE(sealed.length, 14 + length);
  return head;
}

/** @throws RangeError for what ends in the middle of an entry */
function entriesIn(content: Buffer): Entry[] {
  const entries: Entry[] = [];
  for (let at = 0; at < content.length; ) {
    const length = content.readUInt16BE(at);
    const from = at + HEAD_BYTES + length;
    const end = from + content.readUInt32BE(from - 4);
    if (end > content.length) throw damaged();
    entries.push({
      name: content.toString('latin1', at + 2, at + 2 + length),
      sealed: content.subarray(from, end),
      expiresAt: content.readDoubleBE(from - 16),
      hits: content.readUInt32BE(from - 8),
    });
    at = end;
  }
  return entries;
}

function damaged(): Error {
  return Object.assign(new Error('the snapshot is damaged'), { code: 'DAMAGED' });
}
