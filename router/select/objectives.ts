/** What a candidate is judged by: quality, cost, latency and diversity, in natural units. Pure. */
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Belief, Context } from './belief.ts';
import type { Ask, Candidate, Estimate, Knowledge } from './candidate.ts';
import type { Judged } from './choice.ts';
import type { Extent } from './estimate.ts';
import { onGrid } from './estimate.ts';
import { priorQuality } from './prior.ts';

const MS_PER_HOUR = 3_600_000;
const WATTS_PER_KILOWATT = 1000;

/** What all nodes with one model have in common. */
export interface ModelView {
  readonly quality: Belief;
  readonly diversity: number;
}

export function viewOf(model: ServedModel, { classification }: Ask, { beliefs, classifier, now }: Knowledge): ModelView {
  const { domain, complexity, task } = classification;
  const context: Context = { domain, complexity, task };
  const arm = { model: model.name, tier: model.tier };
  return {
    quality: beliefs.belief(arm, context, priorQuality(model, classification, classifier), now),
    diversity: 1 - beliefs.share(arm, context, now),
  };
}

export function judge({ node, model }: Candidate, expected: Estimate, view: ModelView, ask: Ask): Judged {
  return {
    node,
    model: model.name,
    quality: view.quality,
    costUsd: costOf(model, ask, onGrid(expected.engineMs), ask.policy.usdPerKwh),
    latencyMs: onGrid(expected.totalMs),
    diversity: view.diversity,
  };
}

/**
 * Of the whole answer, in US dollars: tokens x price, those in the KV cache at the price of the others; without a price
 * the energy of the time the engine works on it, alone or in turns with others. A model with neither price nor watts
 * costs nothing.
 */
export function costOf(
  { price, watts }: ServedModel,
  { promptTokens, expectedOutputTokens }: Extent,
  engineMs: number,
  usdPerKwh: number,
): number {
  if (price && (price.inputUsdPerMillion > 0 || price.outputUsdPerMillion > 0)) {
    return (promptTokens * price.inputUsdPerMillion + expectedOutputTokens * price.outputUsdPerMillion) / 1e6;
  }
  return (watts / WATTS_PER_KILOWATT) * (engineMs / MS_PER_HOUR) * usdPerKwh;
}
