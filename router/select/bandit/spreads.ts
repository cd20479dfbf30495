/**
 * How much an arm's rewards scatter, and how much its groups differ, as its own rewards tell (method of moments). Pure.
 *
 * Where the classifier already knows what a model is good at, nothing is left for contexts to differ in, and to go on
 * asking in each of them would be wasted; where it does not, a new context says little about the next. So how far groups
 * lie from what they are part of is itself learnt, from a guess that counts as much as a few well-known groups.
 */
import type { Cell } from './cell.ts';
import { axesOf } from './coordinates.ts';
import type { ArmMemory } from './memory.ts';

/** Variances. */
export interface Spreads {
  /** Of a single reward around its expectation. */
  readonly noise: number;
  /** Of domains, complexities and tasks around the arm. */
  readonly axis: number;
  /** Of full contexts around these. */
  readonly context: number;
}

/** Before any reward has come: that of a coin which mostly falls on one side. */
export const NOISE = 0.15;
/** So many rewards that guess counts for. */
const NOISE_COUNT = 10;
const LEAST_NOISE = 0.01;
/** So many well-known groups the guess of their spread counts for. */
const GUESS_COUNT = 2;
/** Of the guess: groups are never taken to be all the same. */
const LEAST_SHARE = 0.01;

/** @param guess of the variances of axes and contexts */
export function spreadsOf({ total, axes, contexts }: ArmMemory, guess: Omit<Spreads, 'noise'>): Spreads {
  const noise = noiseOf(total);
  const axis = new Moments(guess.axis, noise);
  for (const cell of axes) if (cell) axis.see(cell, total.sum / total.count, total.count);
  const context = new Moments(guess.context, noise);
  for (const [place, cell] of contexts) {
    let [mean, least] = [0, Number.POSITIVE_INFINITY];
    for (const axisPlace of axesOf(place)) {
      const parent = axes[axisPlace] as Cell;
      mean += parent.sum / parent.count / 3;
      least = Math.min(least, parent.count);
    }
    context.see(cell, mean, least);
  }
  return { noise, axis: axis.variance, context: context.variance };
}

function noiseOf({ count, sum, squares }: Cell): number {
  const within = count > 0 ? Math.max(0, squares - (sum * sum) / count) : 0;
  return Math.max(LEAST_NOISE, (NOISE_COUNT * NOISE + within) / (NOISE_COUNT + count));
}

class Moments {
  readonly #guess: number;
  readonly #noise: number;
  #weight = GUESS_COUNT;
  #sum: number;

  constructor(guess: number, noise: number) {
    this.#guess = guess;
    this.#noise = noise;
    this.#sum = GUESS_COUNT * guess;
  }

  /** @param around mean of what the group is part of @param of its count */
  see({ count, sum }: Cell, around: number, of: number): void {
    // A group that is nearly all of what it is part of says nothing of how groups differ.
    const apart = 1 - count / of;
    if (!(count > 0) || !(apart > 0)) return;
    const error = this.#noise / count;
    const weight = apart * (this.#guess / (this.#guess + error)) ** 2;
    const away = sum / count - around;
    this.#weight += weight;
    this.#sum += weight * (away * away - error * apart);
  }

  get variance(): number {
    return Math.max(LEAST_SHARE * this.#guess, this.#sum / this.#weight);
  }
}
