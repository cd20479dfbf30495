/**
 * Hashes of a conversation's beginnings, by which a router knows which node has read how much of it. Pure.
 *
 * Two 32-bit hashes run over all of it without ever starting anew, so they cover everything before: for each message its
 * role, its text in UTF-8, four bytes at a time and the last ones singly, and its length. They are read at the end of
 * each message, and within a long one after every 1,024 bytes of its text. Nothing in them is secret or meant to
 * withstand an attacker: a collision costs one wrong estimate.
 */
import type { Message } from '../gen/infermesh/v1/types.ts';

/** In bytes of one message's text. */
export const BLOCK_BYTES = 1024;
/** Of those of a request. */
export const MOST_PREFIXES = 64;
/** Of those of one model of a node, as in the .proto. */
export const MOST_CACHED_PREFIXES = 4096;

export interface Prefix {
  /** A safe integer, 0 or more. */
  readonly hash: number;
  /** Of text up to here, of all messages. */
  readonly bytes: number;
}

/** Odd, so that no step loses anything. */
const LOW_FACTOR = 0x9e3779b1;
const HIGH_FACTOR = 0x85ebca6b;

/**
 * The beginnings of a conversation, shortest first. Where there are more than `most`, the newer half is kept whole and
 * thinned before that: of the older ones every second, fourth, eighth and so on, counted from the conversation's start.
 * So what a longer conversation keeps of its beginning, the shorter one had kept too.
 */
export function prefixesOf(messages: readonly Pick<Message, 'role' | 'text'>[], most = MOST_PREFIXES): readonly Prefix[] {
  const all: Prefix[] = [];
  const hashes = new Int32Array([0x811c9dc5, 0x9747b28c]);
  let before = 0;
  for (const { role, text } of messages) {
    const bytes = Buffer.from(text);
    takeSign(hashes, role);
    for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
      const end = Math.min(at + BLOCK_BYTES, bytes.length);
      takeBytes(hashes, bytes, at, end);
      if (end < bytes.length) all.push({ hash: joined(hashes), bytes: before + end });
    }
    takeSign(hashes, bytes.length);
    before += bytes.length;
    all.push({ hash: joined(hashes), bytes: before });
  }
  return thinned(all, most);
}

/** What is no text; mixed in differently, so that no text looks like it. */
function takeSign(hashes: Int32Array, sign: number): void {
  const low = mixed((hashes[0] as number) ^ sign) | 0;
  hashes[1] = Math.imul(((hashes[1] as number) + sign) ^ (low >>> 15), HIGH_FACTOR);
  hashes[0] = low;
}

function takeBytes(hashes: Int32Array, bytes: Uint8Array, from: number, to: number): void {
  let low = hashes[0] as number;
  let high = hashes[1] as number;
  let at = from;
  for (; at + 4 <= to; at += 4) {
    const four =
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24);
    low = Math.imul(low ^ four, LOW_FACTOR);
    // The low bits of a product know nothing of the high ones.
    low ^= low >>> 15;
    high = Math.imul((high + four) ^ low, HIGH_FACTOR);
    high ^= high >>> 13;
  }
  for (; at < to; at++) {
    low = Math.imul(low ^ (bytes[at] as number), LOW_FACTOR);
    high = Math.imul((high + (bytes[at] as number)) ^ (low >>> 15), HIGH_FACTOR);
  }
  hashes[0] = low;
  hashes[1] = high;
}

/** 53 bits of both. */
function joined(hashes: Int32Array): number {
  const [low, high] = hashes as unknown as [number, number];
  return (mixed(high) & 0x1fffff) * 0x100000000 + mixed(low ^ Math.imul(high, 0x9e3779b1));
}

/** Lets every bit depend on every other. */
function mixed(hash: number): number {
  let value = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  value = Math.imul(value ^ (value >>> 15), 0x846ca68b);
  return (value ^ (value >>> 16)) >>> 0;
}

function thinned(all: readonly Prefix[], most: number): readonly Prefix[] {
  if (all.length <= most) return all;
  const newest = all.length - Math.ceil(most / 2);
  let step = 2;
  while (Math.floor(newest / step) > Math.floor(most / 2)) step *= 2;
  return all.filter((_, at) => at >= newest || (at + 1) % step === 0);
}
