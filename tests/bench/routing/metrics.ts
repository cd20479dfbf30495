/**
 * How good a ranking and a set of probabilities are, and what a choice between two models gains. Pure; the definitions
 * are those of RouteLLM (APGR, CPT). Every sample may count several times or not at all, which is how intervals are
 * drawn (bootstrap.ts).
 */

/** One prompt, answered by a weak and a strong model. */
export interface Sample {
  /** Higher goes to the strong model first. */
  readonly rank: number;
  /** Scores of the two, 0 to 1. */
  readonly weak: number;
  readonly strong: number;
}

/** Sorted once, so that intervals cost no sorting. */
export class Ranking {
  readonly #samples: readonly Sample[];
  /** Indexes of samples, highest rank first. */
  readonly #order: Int32Array;
  /** Where in the order each group of equal ranks ends. */
  readonly #ends: readonly number[];

  constructor(samples: readonly Sample[]) {
    this.#samples = samples;
    this.#order = Int32Array.from(samples.keys()).sort((a, b) => samples[b]!.rank - samples[a]!.rank);
    const rankAt = (place: number) => samples[this.#order[place] as number]?.rank;
    this.#ends = samples.map((_, place) => place + 1).filter((end) => rankAt(end - 1) !== rankAt(end));
  }

  get size(): number {
    return this.#samples.length;
  }

  /** Strong less weak, in score. */
  gap(counts?: Uint16Array): number {
    const groups = this.#groups(counts);
    return sum(groups.map(({ gain }) => gain)) / sum(groups.map(({ weight }) => weight));
  }

  /**
   * Area under the recovered share of the gap (PGR) against the share of calls that go to the strong model; 0.5 for a
   * random order. Equal ranks count as in random order. NaN without a gap.
   */
  apgr(counts?: Uint16Array): number {
    const groups = this.#groups(counts);
    const total = sum(groups.map(({ gain }) => gain));
    const calls = sum(groups.map(({ weight }) => weight));
    let recovered = 0;
    let area = 0;
    for (const { gain, weight } of groups) {
      area += (weight / calls) * (recovered + gain / 2);
      recovered += gain;
    }
    return area / total;
  }

  /** Smallest share of calls to the strong model that recovers that share of the gap, both 0 to 1. */
  cpt(share: number, counts?: Uint16Array): number {
    const groups = this.#groups(counts);
    const wanted = share * sum(groups.map(({ gain }) => gain));
    const calls = sum(groups.map(({ weight }) => weight));
    let recovered = 0;
    let used = 0;
    for (const { gain, weight } of groups) {
      if (gain > 0 && recovered + gain >= wanted) return (used + weight * Math.max(0, (wanted - recovered) / gain)) / calls;
      recovered += gain;
      used += weight;
    }
    return 1;
  }

  #groups(counts: Uint16Array | undefined): { gain: number; weight: number }[] {
    let start = 0;
    return this.#ends.map((end) => {
      let gain = 0;
      let weight = 0;
      for (let place = start; place < end; place++) {
        const index = this.#order[place] as number;
        const { weak, strong } = this.#samples[index] as Sample;
        const count = counts?.[index] ?? 1;
        gain += count * (strong - weak);
        weight += count;
      }
      start = end;
      return { gain, weight };
    });
  }
}

/** Probability that a sample with the label has the higher score than one without; equal scores count half. */
export function auroc(scores: readonly number[], labels: readonly boolean[]): number {
  const order = [...scores.keys()].sort((a, b) => (scores[a] as number) - (scores[b] as number));
  const positives = labels.filter(Boolean).length;
  const negatives = labels.length - positives;
  let rankSum = 0;
  for (let start = 0; start < order.length; ) {
    let end = start;
    while (end < order.length && scores[order[end] as number] === scores[order[start] as number]) end++;
    const middle = (start + 1 + end) / 2;
    rankSum += middle * order.slice(start, end).filter((index) => labels[index]).length;
    start = end;
  }
  return (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives);
}

/** Expected calibration error: |mean probability - mean outcome| over bins of equal size, by size. */
export function calibrationError(probabilities: readonly number[], outcomes: readonly number[], bins = 10): number {
  const order = [...probabilities.keys()].sort((a, b) => (probabilities[a] as number) - (probabilities[b] as number));
  let error = 0;
  for (let bin = 0; bin < bins; bin++) {
    const from = Math.floor((bin * order.length) / bins);
    const to = Math.floor(((bin + 1) * order.length) / bins);
    error += Math.abs(sum(order.slice(from, to).map((index) => (probabilities[index] as number) - (outcomes[index] as number))));
  }
  return error / order.length;
}

export function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

export function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}
