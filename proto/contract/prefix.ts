/**
 * Hashes of a conversation's beginnings, by which a router knows which node has read how much of it. Pure.
 *
 * The conversation is taken as bytes: for each message a sign for its role, its text in UTF-8, and a sign for its end.
 * Two 32-bit hashes run over all of it without ever starting anew, so a hash covers everything before it. They are read
 * at the end of each message, and within a long one after every 1,024 bytes of its text. Nothing in them is secret or
 * meant to withstand an attacker: a collision costs one wrong estimate.
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

/** No byte of a text is as great as these. */
const ROLE_SIGN = 0x100;
const END_SIGN = 0x1ff;

/**
 * The beginnings of a conversation, shortest first. Where there are more than `most`, the newer half is kept whole and
 * thinned before that: of the older ones every second, fourth, eighth and so on, counted from the conversation's start.
 * So what a longer conversation keeps of its beginning, the shorter one had kept too.
 */
export function prefixesOf(messages: readonly Pick<Message, 'role' | 'text'>[], most = MOST_PREFIXES): readonly Prefix[] {
  const all: Prefix[] = [];
  let low = 0x811c9dc5;
  let high = 0x9747b28c;
  let before = 0;
  const take = (unit: number) => {
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul((high + unit) ^ (low >>> 15), 0x85ebca6b);
  };
  for (const { role, text } of messages) {
    const bytes = Buffer.from(text);
    take(ROLE_SIGN + role);
    for (let at = 0; at < bytes.length; at++) {
      take(bytes[at] as number);
      if ((at + 1) % BLOCK_BYTES === 0 && at + 1 < bytes.length) all.push({ hash: joined(low, high), bytes: before + at + 1 });
    }
    take(END_SIGN);
    before += bytes.length;
    all.push({ hash: joined(low, high), bytes: before });
  }
  return thinned(all, most);
}

/** 53 bits of both. */
function joined(low: number, high: number): number {
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
