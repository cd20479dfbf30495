/** How long one classification takes on one core. */
import type { LexicalClassifier } from '../../../router/classify/classifier.ts';
import { percentile } from '../report.ts';
import { classify } from './trials.ts';

const ROUNDS = 7;

/** Per prompt the median of some rounds, so that a neighbour on the machine is not taken for a slow prompt. */
export function microseconds(classifier: LexicalClassifier, prompts: readonly string[]): Record<string, number> {
  const times = prompts.map(() => new Float64Array(ROUNDS));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, prompt] of prompts.entries()) {
      const startedAt = performance.now();
      classify(classifier, prompt);
      (times[index] as Float64Array)[round] = (performance.now() - startedAt) * 1000;
    }
  }
  const medians = times.map((rounds) => percentile([...rounds], 0.5));
  return {
    classify_us_p50: percentile(medians, 0.5),
    classify_us_p95: percentile(medians, 0.95),
    classify_us_p99: percentile(medians, 0.99),
  };
}
