/** What came of choosing. What only explanations need, of every candidate, is found when it is first read. Pure. */
import type { Group } from './arms.ts';
import type { Judged } from './choice.ts';

interface Made {
  readonly index: number;
  readonly explored: boolean;
  readonly propensities: ReadonlyMap<string, number>;
  readonly front: readonly number[];
}

interface Parts {
  readonly judged: readonly Judged[];
  readonly groups: readonly Group[];
  readonly drawnOf: (group: Group) => number;
  /** Distance but for quality. */
  readonly restOf: (judged: Judged) => number;
  /** Distance that quality 1 takes away. */
  readonly unit: number;
}

/** A class for its getters: those of an object literal cost a hidden class each time, which outlives young collections. */
export class Choice {
  /** Of the chosen one; -1 of none. */
  readonly index: number;
  /** Its model would not have been chosen by what is believed without a draw. */
  readonly explored: boolean;
  /** By model: the probability with which it is chosen, before the draw. Models that never are may be missing. */
  readonly propensities: ReadonlyMap<string, number>;
  /** The points of the front, with the quality drawn; one of those that are equal. */
  readonly front: readonly number[];
  readonly #parts: Parts;
  #distances: readonly number[] | undefined;
  #drawn: readonly number[] | undefined;

  constructor({ index, explored, propensities, front }: Made, parts: Parts) {
    this.index = index;
    this.explored = explored;
    this.propensities = propensities;
    this.front = front;
    this.#parts = parts;
  }

  /** Quality, as drawn or expected. */
  get drawn(): readonly number[] {
    this.#drawn ??= this.#allDrawn();
    return this.#drawn;
  }

  /** To the ideal point, and what a conversation's move costs. */
  get distances(): readonly number[] {
    this.#distances ??= this.#allDistances();
    return this.#distances;
  }

  /** Whether it is one of the front's points, or equal to one. */
  onFront(index: number): boolean {
    const { judged } = this.#parts;
    return this.front.some((point) => isEqual(judged[point] as Judged, judged[index] as Judged));
  }

  #allDrawn(): readonly number[] {
    const { judged, groups, drawnOf } = this.#parts;
    const drawn = new Array<number>(judged.length).fill(0);
    for (const group of groups) for (const member of group.members) drawn[member] = drawnOf(group);
    return drawn;
  }

  #allDistances(): readonly number[] {
    const { judged, restOf, unit } = this.#parts;
    const { drawn } = this;
    const ideal = drawn.reduce((most, one) => Math.max(most, one), 0);
    return judged.map((one, i) => restOf(one) + unit * (ideal - (drawn[i] as number)));
  }
}

export function isEqual(a: Judged, b: Judged): boolean {
  return (
    a.model === b.model &&
    a.costUsd === b.costUsd &&
    a.latencyMs === b.latencyMs &&
    a.diversity === b.diversity &&
    a.quality.mean === b.quality.mean &&
    a.quality.sd === b.quality.sd
  );
}
