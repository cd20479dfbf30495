/**
 * Turns vectors by a rotation that only their tenant knows, so that they can be searched where they can't be sealed.
 *
 * Three times over: numbers are exchanged, some change sign, and Hadamard's transform mixes each block of them. All of it
 * keeps lengths and angles, which is what a search needs and also what it cannot hide: README.md says what that leaves.
 */
import { createHash } from 'node:crypto';

const ROUNDS = 3;

interface Round {
  readonly from: Uint32Array;
  readonly signs: Int8Array;
}

export class Rotation {
  readonly #rounds: readonly Round[];
  readonly #block: number;

  /** @param secret the same one gives the same rotation */
  constructor(secret: Uint8Array, dimensions: number) {
    const words = stream(secret, dimensions);
    this.#rounds = Array.from({ length: ROUNDS }, () => roundOf(words, dimensions));
    // The largest power of two that the dimensions can be cut into.
    this.#block = dimensions & -dimensions;
  }

  /** @param vector of the dimensions */
  turned(vector: Float32Array): Float32Array {
    let now = vector;
    for (const { from, signs } of this.#rounds) {
      const next = new Float32Array(vector.length);
      for (let i = 0; i < next.length; i++) next[i] = (now[from[i] as number] as number) * (signs[i] as number);
      for (let at = 0; at < next.length; at += this.#block) mix(next, at, this.#block);
      now = next;
    }
    return now;
  }
}

/** Hadamard's transform of numbers in place, scaled so that lengths stay. */
function mix(vector: Float32Array, start: number, length: number): void {
  for (let half = 1; half < length; half *= 2) {
    for (let i = start; i < start + length; i += half * 2) {
      for (let j = i; j < i + half; j++) {
        const a = vector[j] as number;
        const b = vector[j + half] as number;
        vector[j] = (a + b) * Math.SQRT1_2;
        vector[j + half] = (a - b) * Math.SQRT1_2;
      }
    }
  }
}

function roundOf(words: Generator<number, never>, dimensions: number): Round {
  const from = new Uint32Array(dimensions).map((_, i) => i);
  for (let i = dimensions - 1; i > 0; i--) {
    const other = below(i + 1, words);
    [from[i], from[other]] = [from[other] as number, from[i] as number];
  }
  return { from, signs: new Int8Array(dimensions).map(() => (words.next().value & 1 ? 1 : -1)) };
}

/** A whole number from 0 to below, each as likely. */
function below(limit: number, words: Generator<number, never>): number {
  const fair = 2 ** 32 - (2 ** 32 % limit);
  for (;;) {
    const word = words.next().value;
    if (word < fair) return word % limit;
  }
}

/** Words of 32 bits that follow from the secret, as many as are asked for. */
function* stream(secret: Uint8Array, dimensions: number): Generator<number, never> {
  for (let part = 0; ; part++) {
    const bytes = createHash('shake256', { outputLength: 4096 }).update(secret).update(`${dimensions} ${part}`).digest();
    for (let at = 0; at < bytes.length; at += 4) yield bytes.readUInt32LE(at);
  }
}
