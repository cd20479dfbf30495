/** The replay engine's answers: the token at position n is a function of the prompt and n. Pure but for the digest. */
import { createHash } from 'node:crypto';
import type { Message } from '../../proto/gen/infermesh/v1/types.ts';

/** One, two, three and four bytes of UTF-8, so that whoever cuts bytes in the wrong place is found out. */
export const REPLAY_WORDS =
  'the dragon sang a small song over 12 hills, naïve été 森 雨が 🐉 and 🌧️ fell; then it slept. Why? Über alles: x=42'.split(' ');

/** The number of a prompt from which its tokens follow. */
export function replaySeed(messages: readonly Message[]): number {
  const text = messages.map((message) => `${message.role} ${message.text.length} ${message.text}`).join('\n');
  return createHash('sha256').update(text).digest().readUInt32LE(0);
}

/** The id of the token at position `n`, from 0, of the answer to the prompt with that seed. */
export function replayTokenId(seed: number, n: number): number {
  let mixed = Math.imul(seed ^ Math.imul(n + 1, 0x9e3779b1), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return ((mixed ^ (mixed >>> 16)) >>> 0) % REPLAY_WORDS.length;
}

/** The text of that token. */
export function replayToken(seed: number, n: number): string {
  const word = REPLAY_WORDS[replayTokenId(seed, n)]!;
  return n === 0 ? word : ` ${word}`;
}

/** The answer's first `tokens` tokens. */
export function replayText(messages: readonly Message[], tokens: number): string {
  const seed = replaySeed(messages);
  return Array.from({ length: tokens }, (_, n) => replayToken(seed, n)).join('');
}
