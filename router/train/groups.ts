/**
 * Rows that ask the same question, also under another data set's form, and their split into folds. A question must not
 * be trained on and tested on.
 */
import type { Row } from './data.ts';
import { seeded, shuffle } from './random.ts';

const SHORTEST = 32;
const KEY = 100;

/** Per row the number of its question, from 0. */
export function questionsOf(rows: readonly Row[]): Int32Array {
  const parent = Int32Array.from(rows, (_, index) => index);
  const root = (index: number): number => {
    let at = index;
    while (parent[at] !== at) at = parent[at] = parent[parent[at] as number] as number;
    return at;
  };
  const first = new Map<string, number>();
  for (const [index, { prompt }] of rows.entries()) {
    for (const key of keysOf(prompt)) {
      const known = first.get(key);
      if (known === undefined) first.set(key, index);
      else parent[root(index)] = root(known);
    }
  }
  const number = new Map<number, number>();
  return Int32Array.from(rows, (_, index) => {
    const at = root(index);
    if (!number.has(at)) number.set(at, number.size);
    return number.get(at) as number;
  });
}

/** The stem's start and end, as bare letters; the whole prompt when the stem says little ("Which is true?"). */
function keysOf(prompt: string): string[] {
  const [stem] = prompt.split(/\n\s*A[.)]\s/, 1) as [string];
  const bare = (text: string): string => text.toLowerCase().replace(/[^a-z0-9]+/g, '');
  const letters = bare(stem);
  if (letters.length < SHORTEST) return [bare(prompt)];
  if (letters.length <= KEY) return [letters];
  return [`^${letters.slice(0, KEY)}`, `${letters.slice(-KEY)}$`];
}

/** Per row its fold, 0 to `folds` - 1; rows of one question share theirs. */
export function foldsOf(questions: Int32Array, folds: number, seed: number): Uint8Array {
  const count = questions.reduce((most, question) => Math.max(most, question + 1), 0);
  const order = shuffle(
    Int32Array.from({ length: count }, (_, index) => index),
    seeded(seed),
  );
  const foldOf = new Uint8Array(count);
  for (let at = 0; at < count; at++) foldOf[order[at] as number] = at % folds;
  return Uint8Array.from(questions, (question) => foldOf[question] as number);
}
