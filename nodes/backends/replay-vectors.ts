/**
 * The vectors of the replay engine: a function of the text alone, near each other where texts share words and pairs of
 * words in their order. Each of these adds 1, or 1/2 for a pair, to or from one number of the vector; which one, and the
 * sign, follow from its hash. Pure.
 */
import { unitVector } from './unit-vector.ts';

const WORDS = /[\p{L}\p{N}]+/gu;
const PAIR_WEIGHT = 0.5;

export const wordsOf = (text: string): string[] => text.normalize('NFKC').toLowerCase().match(WORDS) ?? [];

/** @returns of length 1; the same one for all texts without a word */
export function replayVector(text: string, dimensions: number): Float32Array {
  const words = wordsOf(text);
  const sums = new Float64Array(dimensions);
  const add = (gram: string, weight: number) => {
    const hash = hashOf(gram);
    const at = (hash >>> 1) % dimensions;
    sums[at] = (sums[at] as number) + (hash & 1 ? weight : -weight);
  };
  words.forEach((word, i) => {
    add(word, 1);
    if (i > 0) add(`${words[i - 1]} ${word}`, PAIR_WEIGHT);
  });
  return unitVector(sums) ?? Float32Array.from({ length: dimensions }, (_, i) => (i === 0 ? 1 : 0));
}

/** FNV-1a with a last mix, 32 bits unsigned. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
