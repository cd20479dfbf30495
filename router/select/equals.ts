/**
 * Which of a model's candidates, when no objective tells them apart. Pure. First those that could start at once; of
 * them the one where the conversation was, unless it has far more to do than the others; else two are drawn and the
 * one with less to do is taken. With the power of two choices (Mitzenmacher, 2001) routers that see the same fleet
 * don't all run to its least loaded node.
 */
import type { Candidate } from './candidate.ts';
import { outstandingTokens } from './estimate.ts';
import { seeded, seedFor } from './random.ts';

export interface Equal {
  readonly candidate: Candidate;
  /** The conversation was here, and may stay. */
  readonly home: boolean;
}

/** @param equals at least one, in an order that does not depend on the fleet's @returns the place in the list */
export function amongEquals(equals: readonly Equal[], seed: number): number {
  const free = equals.flatMap(({ candidate }, i) => (candidate.freeSlots > 0 ? [i] : []));
  const open = free.length > 0 ? free : equals.map((_, i) => i);
  const home = open.find((i) => equals[i]?.home);
  if (home !== undefined) return home;
  const [first, second] = two(open, seed);
  return toDo(equals[second] as Equal) < toDo(equals[first] as Equal) ? second : first;
}

function two(open: readonly number[], seed: number): readonly [number, number] {
  const random = seeded(seedFor(seed, 'equals'));
  const first = Math.floor(random() * open.length);
  const step = 1 + Math.floor(random() * (open.length - 1));
  return [open[first] as number, open[(first + step) % open.length] as number];
}

function toDo({ candidate }: Equal): number {
  return outstandingTokens(candidate);
}
