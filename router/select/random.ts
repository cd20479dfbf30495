/**
 * Chance that can be repeated. Pure: whoever knows the seed knows every draw. What belongs to one model or node is drawn
 * from a source of its own, by name, so that it does not depend on who else is there or in which order.
 */

/** Uniform, from 0 to less than 1. */
export type Random = () => number;

/** Mulberry32: a counter of 32 bits through an avalanche; passes gjrand's tests and is enough for draws, not for secrets. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    return avalanche(state) / 0x1_0000_0000;
  };
}

/** A seed of its own for everything with a name: FNV-1a over the UTF-16 units, mixed with the seed. */
export function seedFor(seed: number, name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return avalanche(hash ^ Math.imul(seed, 0x9e3779b1));
}

/** Standard normal, by Box and Muller's transform. */
export function gaussian(random: Random): number {
  // 1 - u is never 0, whose logarithm is none.
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

function avalanche(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 15), value | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return (mixed ^ (mixed >>> 14)) >>> 0;
}
