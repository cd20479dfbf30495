/**
 * With which probability each model is nearest to the ideal point when the quality of each is drawn. Pure.
 *
 * A model's distance is base - unit x quality, with quality normal and clamped to 0..1, each model's own and
 * independent. So the probability is the integral, over all distances, of one model standing there and all others
 * farther away. It is summed over steps whose ends are quantiles of every model's distance, so that narrow and broad
 * beliefs are both resolved; within a step, who else falls into it is taken to be farther as often as not. Against
 * counting draws it is within .01, mostly .002, needs no draws, and is over 0 for whatever a draw can reach.
 */

export interface Contender {
  /** Distance at quality 0. */
  readonly base: number;
  readonly mean: number;
  readonly sd: number;
}

/** Quantiles of the standard normal that make steps; further out is less than 1 in 10,000. */
const QUANTILES = [-3.7, -3, -2.5, -2.1, -1.75, -1.45, -1.2, -0.95, -0.7, -0.47, -0.23];
const POINTS = [...QUANTILES, 0, ...QUANTILES.map((z) => -z)];
const REACH = 4.5;
/** Makes a step of its own of what is certain, or clamped. */
const HAIR = 1e-9;

/**
 * @param unit distance that quality 1 takes away, over 0
 * @returns by contender; the sum is 1
 */
export function propensities(contenders: readonly Contender[], unit: number): number[] {
  const open = withoutHopeless(contenders, unit);
  const result = new Array<number>(contenders.length).fill(0);
  if (open.length === 1) {
    result[open[0] as number] = 1;
    return result;
  }
  const rivals = open.map((index) => contenders[index] as Contender);
  const chances = integrate(rivals, unit);
  const total = chances.reduce((sum, chance) => sum + chance, 0);
  open.forEach((index, i) => {
    result[index] = (chances[i] as number) / total;
  });
  return result;
}

/** Those that may come nearest although all fares as badly with the others as it ever does. */
function withoutHopeless(contenders: readonly Contender[], unit: number): number[] {
  let bar = Number.POSITIVE_INFINITY;
  for (const one of contenders) bar = Math.min(bar, distanceAt(one, -REACH, unit));
  const open: number[] = [];
  contenders.forEach((one, index) => {
    if (distanceAt(one, REACH, unit) <= bar) open.push(index);
  });
  return open;
}

function integrate(rivals: readonly Contender[], unit: number): Float64Array {
  const count = rivals.length;
  const steps = stepsOf(rivals, unit);
  const chances = new Float64Array(count);
  let farther = new Float64Array(count).fill(1);
  let next = new Float64Array(count);
  // Products of the others' chances, from both ends, as one of them may be 0.
  const after = new Float64Array(count + 1).fill(1);
  for (const step of steps) {
    for (let i = count - 1; i >= 0; i--) {
      next[i] = chanceFarther(rivals[i] as Contender, step, unit);
      after[i] = (after[i + 1] as number) * ((farther[i] as number) + (next[i] as number)) * 0.5;
    }
    let before = 1;
    for (let i = 0; i < count; i++) {
      const [was, is] = [farther[i] as number, next[i] as number];
      chances[i] = (chances[i] as number) + (was - is) * before * (after[i + 1] as number);
      before *= (was + is) * 0.5;
    }
    [farther, next] = [next, farther];
  }
  return chances;
}

/** Distances between which no model's chance changes much, ascending. */
function stepsOf(rivals: readonly Contender[], unit: number): Float64Array {
  const steps = new Float64Array(rivals.length * (POINTS.length + 4));
  let n = 0;
  for (const rival of rivals) {
    if (rival.sd > 0) for (const z of POINTS) steps[n++] = distanceAt(rival, z, unit);
    const ends = rival.sd > 0 ? [rival.base - unit, rival.base] : [distanceAt(rival, 0, unit)];
    for (const end of ends) {
      steps[n++] = end - HAIR;
      steps[n++] = end;
    }
  }
  return steps.subarray(0, n).sort();
}

function distanceAt({ base, mean, sd }: Contender, z: number, unit: number): number {
  return base - unit * Math.min(1, Math.max(0, mean + z * sd));
}

/** That the distance is more than so much. */
function chanceFarther(one: Contender, distance: number, unit: number): number {
  const { base, mean, sd } = one;
  if (distance < base - unit) return 1;
  if (distance >= base) return 0;
  if (sd > 0) return normalBelow(((base - distance) / unit - mean) / sd);
  return distanceAt(one, 0, unit) > distance ? 1 : 0;
}

/** The standard normal's distribution function, to 1e-7: Abramowitz and Stegun, 26.2.17. */
export function normalBelow(z: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(z));
  const poly = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const tail = 0.3989422804014327 * Math.exp(-0.5 * z * z) * poly;
  return z > 0 ? 1 - tail : tail;
}
