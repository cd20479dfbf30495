/** Which models got what since the router started, what it cost and what it earned: the counts of GetStats. Pure. */
import type { ComplexityShare, GetStatsResponse, ModelShare } from '../../proto/gen/infermesh/v1/admin.ts';
import type { Tier, Usage } from '../../proto/gen/infermesh/v1/types.ts';
import { Complexity as ComplexityMessage } from '../../proto/gen/infermesh/v1/types.ts';
import type { Complexity } from '../classify/classification.ts';
import { COMPLEXITIES } from '../classify/classification.ts';
import type { Arm } from '../select/belief.ts';

/** Names come from nodes; of those beyond, only the sum is kept. */
const MAX_MODELS = 1000;
const OTHERS = '(others)';

interface Counts {
  tier: number;
  chosen: number;
  finished: number;
  readonly tokens: { input: number; cached: number; output: number };
  costUsd: number;
  referenceUsd: number;
  rewards: number;
  rewardSum: number;
}

export type ShareFigures = Pick<
  GetStatsResponse,
  'models' | 'complexities' | 'costUsd' | 'referenceUsd' | 'explored' | 'feedbacks'
>;

export class ModelShares {
  readonly #models = new Map<string, Counts>();
  /** By complexity, then tier. */
  readonly #tiers = new Map<Complexity, Map<number, number>>();
  #explored = 0;
  #feedbacks = 0;

  chosen(arm: Arm, complexity: Complexity, explored: boolean): void {
    this.#countsOf(arm).chosen++;
    const tiers = this.#tiers.get(complexity) ?? new Map<number, number>();
    this.#tiers.set(complexity, tiers.set(arm.tier, (tiers.get(arm.tier) ?? 0) + 1));
    if (explored) this.#explored++;
  }

  finished(arm: Arm, usage: Usage, costUsd: number, referenceUsd: number): void {
    const counts = this.#countsOf(arm);
    counts.finished++;
    counts.tokens.input += usage.inputTokens;
    counts.tokens.cached += usage.cachedInputTokens;
    counts.tokens.output += usage.outputTokens;
    counts.costUsd += costUsd;
    counts.referenceUsd += referenceUsd;
  }

  /** It was paid for all the same, and nothing was saved by it. */
  brokenOff(arm: Arm, costUsd: number): void {
    const counts = this.#countsOf(arm);
    counts.costUsd += costUsd;
    counts.referenceUsd += costUsd;
  }

  /** @param before what the same answer was credited with until now */
  rewarded(arm: Arm, reward: number, before: number | undefined): void {
    const counts = this.#countsOf(arm);
    if (before === undefined) counts.rewards++;
    counts.rewardSum += reward - (before ?? 0);
  }

  rated(): void {
    this.#feedbacks++;
  }

  figures(): ShareFigures {
    const all = [...this.#models.values()];
    const sum = (of: (counts: Counts) => number) => all.reduce((total, counts) => total + of(counts), 0);
    return {
      models: [...this.#models].map(([model, counts]) => shareOf(model, counts)).toSorted((a, b) => b.chosen - a.chosen),
      complexities: COMPLEXITIES.map((complexity) => this.#complexity(complexity)).filter(({ requests }) => requests > 0),
      costUsd: sum(({ costUsd }) => costUsd),
      referenceUsd: sum(({ referenceUsd }) => referenceUsd),
      explored: this.#explored,
      feedbacks: this.#feedbacks,
    };
  }

  #complexity(complexity: Complexity): ComplexityShare {
    const tiers = [...(this.#tiers.get(complexity) ?? [])]
      .map(([tier, requests]) => ({ tier: tier as Tier, requests }))
      .toSorted((a, b) => a.tier - b.tier);
    const requests = tiers.reduce((total, { requests }) => total + requests, 0);
    return { complexity: MESSAGES[complexity], requests, tiers };
  }

  #countsOf({ model, tier }: Arm): Counts {
    const name = this.#models.has(model) || this.#models.size < MAX_MODELS ? model : OTHERS;
    let counts = this.#models.get(name);
    if (!counts) {
      const tokens = { input: 0, cached: 0, output: 0 };
      counts = { tier, chosen: 0, finished: 0, tokens, costUsd: 0, referenceUsd: 0, rewards: 0, rewardSum: 0 };
      this.#models.set(name, counts);
    }
    return counts;
  }
}

const MESSAGES: Readonly<Record<Complexity, ComplexityMessage>> = {
  simple: ComplexityMessage.COMPLEXITY_SIMPLE,
  moderate: ComplexityMessage.COMPLEXITY_MODERATE,
  complex: ComplexityMessage.COMPLEXITY_COMPLEX,
};

function shareOf(model: string, counts: Counts): ModelShare {
  const { tier, chosen, finished, tokens, costUsd, referenceUsd, rewards, rewardSum } = counts;
  return {
    model,
    tier: tier as Tier,
    chosen,
    finished,
    inputTokens: tokens.input,
    cachedInputTokens: tokens.cached,
    outputTokens: tokens.output,
    costUsd,
    referenceUsd,
    reward: rewards > 0 ? rewardSum / rewards : 0,
  };
}
