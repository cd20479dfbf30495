/** What the mixed load asks, and when. Pure: the same seed makes the same load. */
import { MIXED_PROMPTS } from '../support/mixed-prompts.ts';
import type { Request } from './clients.ts';

export interface Workload {
  readonly requests: number;
  /** Different ones; the k-th most frequent is asked in proportion to 1 / k^exponent. */
  readonly prompts: number;
  readonly exponent: number;
  /** Of the requests, drawn by chance at the model: no answer of theirs may be used again. */
  readonly sampledShare: number;
  readonly perSecond: number;
  readonly maxTokens: number;
}

/** At the times of a Poisson process. @param random numbers from 0 to below 1 */
export function workload(of: Workload, random: () => number): Request[] {
  const draw = zipf(of.prompts, of.exponent, random);
  let dueMs = 0;
  return Array.from({ length: of.requests }, () => {
    dueMs -= (1000 * Math.log(1 - random())) / of.perSecond;
    const temperature = random() < of.sampledShare ? 0.7 : 0;
    return { text: promptOf(draw()), maxTokens: of.maxTokens, temperature, dueMs };
  });
}

/** The best that any cache could do: the share of repeatable requests whose prompt has come before. */
export function repeatedShare(requests: readonly Request[]): number {
  const repeatable = requests.filter(({ temperature }) => temperature === 0);
  return 1 - new Set(repeatable.map(({ text }) => text)).size / repeatable.length;
}

/** An ordinary prompt for each rank, so that neighbours are of different kinds and difficulty. */
function promptOf(rank: number): string {
  const prompt = MIXED_PROMPTS[(rank * 37) % MIXED_PROMPTS.length] as string;
  return `${prompt} (case ${rank})`;
}

/** Draws ranks from 0 by inverting the distribution. */
function zipf(count: number, exponent: number, random: () => number): () => number {
  const ends: number[] = [];
  let sum = 0;
  for (let rank = 1; rank <= count; rank++) {
    sum += rank ** -exponent;
    ends.push(sum);
  }
  return () => {
    const point = random() * sum;
    let low = 0;
    for (let high = count - 1; low < high; ) {
      const middle = (low + high) >> 1;
      if ((ends[middle] as number) > point) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}
