/** What is made of a prompt: its classification, its rank, and what each model is expected to make of it and to cost. */
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import type { Classification } from '../../router/index.ts';
import { learnModels, learnRank, openClassifier } from '../../router/index.ts';
import { readWarmFile } from './warm-file.ts';

export interface Scored {
  readonly classification: Classification;
  /** Higher goes to a strong model first. */
  readonly rank: number;
  /** By model, 0 to 1. */
  readonly quality: Readonly<Record<string, number>>;
  /** By model, in US dollars. */
  readonly usd: Readonly<Record<string, number>>;
}

export interface Scorer {
  score(prompt: string): Scored;
  /** By model that there are scored prompts of. */
  readonly learnt: readonly string[];
  readonly notes: readonly string[];
}

/** Smaller differences are noise. */
const QUALITY_STEP = 1e6;

/** @param warm a file of scored prompts @throws UsageError for one that can't be used */
export async function openScorer(warm: string | undefined): Promise<Scorer> {
  const classifier = openClassifier();
  const classify = (text: string) => classifier.classify({ messages: [{ role: Role.ROLE_USER, text }] });
  const file = warm === undefined ? undefined : await readWarmFile(warm, classify);
  const learnt = file && learnModels(file.models, file.prompts, classifier);
  const rank = file?.pair && learnt && learnRank(file.pair, file.prompts, learnt);
  const score = (prompt: string): Scored => {
    const classification = classify(prompt);
    const quality: Record<string, number> = {};
    const usd: Record<string, number> = {};
    for (const model of classifier.knownModels) {
      note(quality, model, classifier.quality(classification, model));
      note(usd, model, classifier.costUsd(classification, model, prompt.length));
    }
    const qualities = learnt?.quality(classification);
    const costs = learnt?.costUsd(classification, prompt.length);
    for (const [index, model] of (file?.models ?? []).entries()) {
      note(quality, model, qualities?.[index]);
      note(usd, model, costs?.[index]);
    }
    return { classification, rank: rank ? rank(classification) : classification.rank, quality, usd };
  };
  return { score, learnt: file?.models ?? [], notes: file?.notes ?? [] };
}

function note(into: Record<string, number>, model: string, value: number | undefined): void {
  if (value !== undefined) into[model] = Math.max(0, value);
}

/** As in a line of --jsonl. */
export function lineOf(id: unknown, { classification, rank, quality, usd }: Scored) {
  const rounded = Object.entries(quality).map(([model, value]) => [model, Math.round(value * QUALITY_STEP) / QUALITY_STEP]);
  const costs = Object.entries(usd).map(([model, value]) => [model, Number(value.toPrecision(6))]);
  return { id, complexity: classification.complexity, rank, q: Object.fromEntries(rounded), c: Object.fromEntries(costs) };
}
