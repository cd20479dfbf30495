/** Entries of a decision log, made up for tests. */
import fc from 'fast-check';
import { COMPLEXITIES, DOMAINS, TASKS } from '../../../router/classify/classification.ts';
import type { DecisionEntry, FeedbackEntry, LogEntry, LoggedCandidate } from '../../../router/ledger/decision-entry.ts';

export const CANDIDATE: LoggedCandidate = {
  node: 'n1',
  model: 'small',
  tier: 1,
  quality: { mean: 0.6, sd: 0.1 },
  costUsd: 0.0002,
  latencyMs: 900,
  firstTokenMs: 150,
  diversity: 0.5,
};

export function decisionEntry(more: Partial<DecisionEntry> = {}): DecisionEntry {
  return {
    v: 1,
    type: 'decision',
    at: '2026-11-21T10:00:00.000Z',
    request: 'r1',
    policy: 'default',
    context: { domain: 'general', complexity: 'simple', task: 'chat', language: 'en' },
    preference: { cost: 0.25, quality: 0.5, latency: 0.2, diversity: 0.05 },
    ownPreference: false,
    withoutExploration: false,
    mayExplore: true,
    switchMargin: 0.1,
    candidates: [CANDIDATE],
    chosen: 0,
    explored: false,
    propensity: 1,
    propensities: { small: 1 },
    outcome: {
      finish: 'stop',
      reward: 0.7,
      rewardWeight: 0.3,
      rewardParts: { latency: 0.9 },
      costUsd: 0.0001,
      referenceUsd: 0.001,
      latencyMs: 850,
      firstTokenMs: 200,
      inputTokens: 100,
      cachedInputTokens: 0,
      outputTokens: 40,
    },
    ...more,
  };
}

export function feedbackEntry(more: Partial<FeedbackEntry> = {}): FeedbackEntry {
  const at = '2026-11-21T11:00:00.000Z';
  return {
    v: 1,
    type: 'feedback',
    at,
    request: 'r1',
    model: 'small',
    cause: 'rating',
    reward: 0.9,
    rewardWeight: 1,
    rewardParts: { rating: 1 },
    ...more,
  };
}

/** Numbers that a line keeps as they are. */
const exactly = (max: number) => fc.integer({ min: 0, max: 9_999_999 }).map((n) => Number(((n / 1e7) * max).toPrecision(7)));
const share = exactly(1);
const amount = exactly(1000);
const name = fc.string({ minLength: 1, maxLength: 20 });
const at = fc.date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true }).map((date) => date.toISOString());
const count = fc.nat(1_000_000);
const parts = fc.dictionary(fc.constantFrom('rating', 'retry', 'unremarked'), share);

const candidates = fc.array(
  fc.record(
    {
      node: name,
      model: name,
      tier: fc.nat(4),
      zone: name,
      quality: fc.record({ mean: share, sd: share }),
      costUsd: amount,
      latencyMs: amount,
      firstTokenMs: amount,
      diversity: share,
    },
    { requiredKeys: ['node', 'model', 'tier', 'quality', 'costUsd', 'latencyMs', 'firstTokenMs', 'diversity'] },
  ),
  { minLength: 1, maxLength: 64 },
);

const outcome = fc.record(
  {
    finish: fc.constantFrom('stop', 'stop_string', 'length', 'failed', 'cancelled'),
    fault: name,
    reward: share,
    rewardWeight: share,
    rewardParts: parts,
    costUsd: amount,
    referenceUsd: amount,
    latencyMs: amount,
    firstTokenMs: amount,
    inputTokens: count,
    cachedInputTokens: count,
    outputTokens: count,
  },
  { requiredKeys: ['finish', 'costUsd', 'referenceUsd', 'latencyMs', 'inputTokens', 'cachedInputTokens', 'outputTokens'] },
);

const decisions: fc.Arbitrary<LogEntry> = fc
  .record({
    at,
    request: name,
    policy: name,
    context: fc.record({
      domain: fc.constantFrom(...DOMAINS),
      complexity: fc.constantFrom(...COMPLEXITIES),
      task: fc.constantFrom(...TASKS),
      language: name,
    }),
    preference: fc.record({ cost: share, quality: share, latency: share, diversity: share }),
    ownPreference: fc.boolean(),
    withoutExploration: fc.boolean(),
    mayExplore: fc.boolean(),
    switchMargin: share,
    candidates,
    explored: fc.boolean(),
    propensity: share,
    propensities: fc.dictionary(
      name.filter((one) => one !== '__proto__'),
      share,
    ),
    outcome,
  })
  .chain((entry) =>
    fc.record({ chosen: fc.nat(entry.candidates.length - 1) }).map((rest) => ({ v: 1, type: 'decision', ...entry, ...rest })),
  );

const feedbacks: fc.Arbitrary<LogEntry> = fc.record({
  v: fc.constant(1 as const),
  type: fc.constant('feedback' as const),
  at,
  request: name,
  tenant: name,
  model: name,
  cause: fc.constantFrom('rating', 'retry'),
  reward: share,
  rewardWeight: share,
  rewardParts: parts,
});

export const anyEntry = fc.oneof(decisions, feedbacks);
