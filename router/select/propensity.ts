/**
 * With which probability each model is nearest to the ideal point when the quality of each is drawn. Pure.
 *
 * A model's distance is base - unit x quality, with quality normal and clamped to 0..1, each model's own and
 * independent. So the probability is the integral, over all distances, of one model standing there and all others
 * farther away. It is summed over steps whose ends are quantiles of every model's distance, so that narrow and broad
 * beliefs are both resolved; within a step, who else falls into it is taken to be farther as often as not. Against
 * counting draws it is within .01, mostly .001, needs no draws, and is over 0 for whatever a draw is likely to reach.
 */
import { normalBelow, REACH } from './normal.ts';

export interface Contender {
  /** Distance at quality 0. */
  readonly base: number;
  readonly mean: number;
  /** 0: certain. */
  readonly sd: number;
}

/** Quantiles that make steps, in standard deviations. Where there are many models, each needs fewer. */
const FINE = symmetric([3.7, 3, 2.5, 2.1, 1.75, 1.45, 1.2, 0.95, 0.7, 0.47, 0.23]);
const MIDDLE = symmetric([3.3, 2.2, 1.4, 0.65]);
const COARSE = symmetric([3, 1.7, 0.75]);
/** Makes a step of its own of what is certain, or clamped. */
const HAIR = 1e-9;

function symmetric(positive: readonly number[]): readonly number[] {
  return [...positive.map((z) => -z), 0, ...positive.toReversed()];
}

/**
 * @param unit distance that quality 1 takes away, over 0
 * @returns by contender; the sum is 1
 */
export function propensities(contenders: readonly Contender[], unit: number): number[] {
  const result = new Array<number>(contenders.length).fill(0);
  const open = withoutHopeless(contenders, unit);
  const rivals = open.map((index) => contenders[index] as Contender);
  const chances = integrate(rivals, unit);
  const total = chances.reduce((sum, chance) => sum + chance, 0);
  open.forEach((index, i) => {
    result[index] = (chances[i] as number) / total;
  });
  return result;
}

/** Those that may come nearest although they are as lucky, and the others as unlucky, as they hardly ever are. */
function withoutHopeless(contenders: readonly Contender[], unit: number): number[] {
  let bar = Number.POSITIVE_INFINITY;
  for (const one of contenders) bar = Math.min(bar, distanceAt(one, -REACH, unit));
  const open: number[] = [];
  contenders.forEach((one, index) => {
    if (distanceAt(one, REACH, unit) <= bar) open.push(index);
  });
  return open;
}

function integrate(rivals: readonly Contender[], unit: number): number[] {
  const count = rivals.length;
  const spreads = rivals.map((rival) => spreadOf(rival, unit));
  const chances = new Array<number>(count).fill(0);
  let farther = new Array<number>(count).fill(1);
  let next = new Array<number>(count).fill(1);
  // Products of the others' chances, from both ends, as one of them may be 0.
  const after = new Array<number>(count + 1).fill(1);
  for (const step of stepsOf(rivals, unit)) {
    let last = false;
    for (let i = count - 1; i >= 0; i--) {
      const is = chanceFarther(spreads[i] as Spread, step);
      next[i] = is;
      last ||= is === 0;
      after[i] = (after[i + 1] as number) * ((farther[i] as number) + is) * 0.5;
    }
    let before = 1;
    for (let i = 0; i < count; i++) {
      const was = farther[i] as number;
      const is = next[i] as number;
      chances[i] = (chances[i] as number) + (was - is) * before * (after[i + 1] as number);
      before *= (was + is) * 0.5;
    }
    // Beyond one that is here at the latest, nobody can be nearest.
    if (last) break;
    [farther, next] = [next, farther];
  }
  return chances;
}

/** A model's distances: the least and the greatest, by quality 1 and 0, and between them a normal. */
interface Spread {
  readonly least: number;
  readonly greatest: number;
  readonly mean: number;
  readonly perSd: number;
}

function spreadOf(rival: Contender, unit: number): Spread {
  const { base, mean, sd } = rival;
  const certain = distanceAt(rival, 0, unit);
  return {
    least: sd > 0 ? base - unit : certain,
    greatest: sd > 0 ? base : certain,
    mean: base - unit * mean,
    perSd: 1 / (unit * sd),
  };
}

/** That its distance is more than so much. */
function chanceFarther({ least, greatest, mean, perSd }: Spread, distance: number): number {
  if (distance < least) return 1;
  if (distance >= greatest) return 0;
  return normalBelow((mean - distance) * perSd);
}

/** Distances between which no model's chance changes much, ascending. */
function stepsOf(rivals: readonly Contender[], unit: number): Float64Array {
  const points = rivals.length <= 3 ? FINE : rivals.length <= 10 ? MIDDLE : COARSE;
  const steps = new Float64Array(rivals.length * (points.length + 4));
  let n = 0;
  const addEnd = (end: number) => {
    steps[n++] = end - HAIR;
    steps[n++] = end;
  };
  for (const rival of rivals) {
    const { base, mean, sd } = rival;
    if (sd > 0) for (const z of points) steps[n++] = distanceAt(rival, z, unit);
    if (sd === 0) addEnd(distanceAt(rival, 0, unit));
    else {
      if (mean + REACH * sd > 1) addEnd(base - unit);
      addEnd(mean - REACH * sd < 0 ? base : distanceAt(rival, -REACH, unit));
    }
  }
  return steps.subarray(0, n).sort();
}

function distanceAt({ base, mean, sd }: Contender, z: number, unit: number): number {
  return base - unit * Math.min(1, Math.max(0, mean + z * sd));
}
