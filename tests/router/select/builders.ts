/** Candidates, requests and knowledge for tests of selection: usual values, and what a test makes of them. */
import { NodeState, ServedModel, Tier } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Classification, Classifier } from '../../../router/classify/classification.ts';
import type { Beliefs } from '../../../router/select/belief.ts';
import type { Ask, Candidate, Knowledge } from '../../../router/select/candidate.ts';
import type { Judged } from '../../../router/select/choice.ts';
import { DEFAULT_POLICY } from '../../../router/select/policy.ts';

export function candidate(node: string, model: Partial<ServedModel> = {}, more: Partial<Candidate> = {}): Candidate {
  const rates = { prefillTokensPerSecond: 1000, decodeTokensPerSecond: 50 };
  return {
    node,
    zone: '',
    state: NodeState.NODE_STATE_SERVING,
    returning: false,
    model: ServedModel.fromPartial({ name: 'm', tier: Tier.TIER_FAST, slots: 4, contextLength: 4096, ...rates, ...model }),
    freeSlots: 4,
    running: 0,
    queuedPromptTokens: 0,
    expectedTokens: 0,
    waiting: 0,
    ...more,
  };
}

export function classification(more: Partial<Classification> = {}): Classification {
  return {
    complexity: 'moderate',
    suffices: { fast: 0.5, balanced: 0.7, quality: 0.8, cloud: 0.9 },
    everyday: false,
    rank: 0.5,
    domain: 'general',
    task: 'chat',
    language: 'en',
    expectedOutputTokens: 256,
    followUp: false,
    factors: new Float32Array(),
    ...more,
  };
}

export const ask = (more: Partial<Ask> = {}): Ask => ({
  target: { type: 'auto' },
  classification: classification(),
  promptBytes: 400,
  promptTokens: 100,
  expectedOutputTokens: 256,
  structured: false,
  remainingMs: 120_000,
  policy: DEFAULT_POLICY,
  mayExplore: false,
  seed: 1,
  cachedTokens: () => 0,
  tried: new Set(),
  crowded: new Set(),
  ...more,
});

/** Weights that know no model. */
export const unknowing: Classifier = { classify: () => classification(), quality: () => undefined };

/** Nobody has been rewarded yet: what is expected is the prior. */
export function beliefs(sd = 0.1, share: (model: string) => number = () => 0): Beliefs {
  return { belief: (_arm, _context, mean) => ({ mean, sd }), share: ({ model }) => share(model) };
}

export const knowledge = (more: Partial<Knowledge> = {}): Knowledge => ({
  beliefs: beliefs(),
  classifier: unknowing,
  now: 0,
  ...more,
});

export function judged(model: string, node: string, more: Partial<Judged> = {}): Judged {
  return { model, node, quality: { mean: 0.5, sd: 0 }, costUsd: 0.001, latencyMs: 1000, diversity: 1, ...more };
}
