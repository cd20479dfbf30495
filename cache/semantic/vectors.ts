/** Vectors of length 1, in 8 bits a number and back. Pure. */

const STEPS = 127;
/** How far from 1 the length of a vector may be. */
const SLACK = 0.01;

/** Numbers in steps of a 127th of the largest: similarities are within 0.005 of what they were, at 384 dimensions. */
export function quantised(vector: Float32Array): Int8Array {
  const largest = vector.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return Int8Array.from(vector, (value) => Math.round((value / (largest || 1)) * STEPS));
}

/** Of length 1 again. */
export function restored(steps: Int8Array): Float32Array {
  return unit(Float32Array.from(steps));
}

/** @returns of length 1; all zeros stay so */
export function unit(vector: Float32Array): Float32Array {
  const length = Math.sqrt(dot(vector, vector)) || 1;
  return vector.map((value) => value / length);
}

/** The cosine of two vectors of length 1. */
export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

/** Finite, and of length 1. */
export function isUnit(vector: Float32Array): boolean {
  return Math.abs(dot(vector, vector) - 1) <= SLACK;
}
