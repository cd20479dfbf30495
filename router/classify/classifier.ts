/**
 * The lexical classifier: a prompt's words and shape -> complexity, domain, task, and who is likely to answer it. Pure.
 *
 * Reading stops at a bounded length and looks at the turn that counts (conversation.ts), so a turn costs the same
 * however long the conversation before it is. See MODEL_CARD.md for what the weights know and what they do not.
 */
import { calibrated } from './calibration.ts';
import type { Classification, Classifier, Complexity, Domain, Prompt, Task, TierName } from './classification.ts';
import { TIERS } from './classification.ts';
import { basisOf, turnsOf } from './conversation.ts';
import { isEveryday } from './everyday.ts';
import { FACTORS, rawFactors, standardise } from './factors.ts';
import { denseSize, Reader } from './features.ts';
import { languageOf } from './language.ts';
import { DOMAIN_HEADS } from './mixture.ts';
import { canonical } from './models.ts';
import { rankOf } from './rank.ts';
import { taskOf, usualTokens } from './task.ts';
import { evaluate } from './trees.ts';
import type { ModelWeights, Weights } from './weights.ts';

/** Below this no domain is likelier than none. */
const LEAST_DOMAIN = 0.35;

/** What an `evaluated` text leaves in the buffers' place: values only. */
interface Evaluated {
  readonly rank: number;
  readonly suffices: Readonly<Record<TierName, number>>;
  readonly domain: Domain;
  readonly tokens: number;
  readonly factors: Float32Array;
}

export class LexicalClassifier implements Classifier {
  readonly knownModels: readonly string[];
  readonly #weights: Weights;
  readonly #reader = new Reader();
  readonly #dense: Float32Array;
  readonly #models: ReadonlyMap<string, ModelWeights>;

  constructor(weights: Weights) {
    this.#weights = weights;
    this.#dense = new Float32Array(denseSize(weights.means));
    this.#models = new Map(weights.models.map((model) => [canonical(model.name), model]));
    this.knownModels = weights.models.map(({ name }) => name);
  }

  classify(prompt: Prompt): Classification {
    const { text, followUp } = basisOf(prompt);
    const task = taskOf(prompt);
    const { rank, suffices, domain, tokens, factors } = this.#evaluate(text);
    const complexity = complexityOf(suffices);
    return {
      complexity,
      suffices,
      everyday: isEveryday(text, task, complexity),
      rank,
      domain: task === 'story' ? 'story' : domain,
      task,
      language: languageOf(turnsOf(prompt).last),
      expectedOutputTokens: expectedTokens(task, tokens),
      followUp,
      factors,
    };
  }

  quality({ factors }: Classification, model: string): number | undefined {
    const known = this.#models.get(canonical(model));
    if (!known) return undefined;
    let sum = known.quality[FACTORS.length] as number;
    for (let at = 0; at < FACTORS.length; at++) sum += (known.quality[at] as number) * (factors[at] as number);
    return 1 / (1 + Math.exp(-sum));
  }

  /** US dollars of one answer, at the prices in the training data; undefined where they are not known. */
  costUsd(classification: Classification, model: string, promptChars: number): number | undefined {
    const cost = this.#models.get(canonical(model))?.cost;
    if (!cost || cost.length === 0) return undefined;
    const [constant, perUnit, perToken] = cost as unknown as [number, number, number];
    return constant + perUnit * promptChars + perToken * classification.expectedOutputTokens;
  }

  #evaluate(text: string): Evaluated {
    const weights = this.#weights;
    const dense = this.#dense;
    this.#reader.read(text);
    this.#reader.dense(weights.heads, weights.means, dense);
    const small = evaluate(weights.small, dense);
    const strong = evaluate(weights.strong, dense);
    const rank = rankOf(weights.rank, dense, 0);
    const factors = new Float32Array(FACTORS.length);
    rawFactors(dense, 0, { small, strong, rank }, factors, 0);
    standardise(factors, weights);
    return {
      rank,
      suffices: this.#suffices(small, strong),
      domain: domainOf(factors, weights),
      tokens: Math.max(1, 2 ** evaluate(weights.tokens, dense) - 1),
      factors,
    };
  }

  #suffices(small: number, strong: number): Record<TierName, number> {
    const suffices = {} as Record<TierName, number>;
    let least = 0;
    for (const [index, tier] of TIERS.entries()) {
      const calibration = this.#weights.tiers[index];
      if (calibration) least = Math.max(least, calibrated(calibration, tier === 'cloud' ? strong : small));
      suffices[tier] = least;
    }
    return suffices;
  }
}

function complexityOf({ quality }: Readonly<Record<TierName, number>>): Complexity {
  return quality >= 0.6 ? 'simple' : quality >= 0.35 ? 'moderate' : 'complex';
}

function domainOf(factors: Float32Array, { factorMean, factorScale }: Weights): Domain {
  const first = FACTORS.length - DOMAIN_HEADS.length;
  let best: Domain = 'general';
  let most = LEAST_DOMAIN;
  for (const [index, domain] of DOMAIN_HEADS.entries()) {
    const at = first + index;
    const probability = (factors[at] as number) / (factorScale[at] as number) + (factorMean[at] as number);
    if (probability > most) {
      most = probability;
      best = domain;
    }
  }
  return best;
}

/** The task says how long answers are as a rule, the trained trees how this one differs on exam-like prompts. */
function expectedTokens(task: Task, trained: number): number {
  const usual = usualTokens(task);
  if (task === 'choice' || task === 'maths' || task === 'question' || task === 'reasoning')
    return Math.round(Math.sqrt(usual * trained));
  return usual;
}
