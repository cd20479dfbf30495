import { describe, expect, it } from 'vitest';
import { Decision, ExplainResponse } from '../../../proto/gen/infermesh/v1/inference.ts';
import { Complexity, NodeState, Price, Tier } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Ask, Candidate, Considered } from '../../../router/select/candidate.ts';
import { decide } from '../../../router/select/decide.ts';
import { decidedEvent, decisionMessage, explanation } from '../../../router/select/explain.ts';
import { DEFAULT_POLICY } from '../../../router/select/policy.ts';
import { refusalFault } from '../../../router/select/refusal.ts';
import { ask, beliefs, candidate, classification, knowledge } from './builders.ts';

const cloud = {
  name: 'cloud',
  tier: Tier.TIER_CLOUD,
  price: Price.fromPartial({ inputUsdPerMillion: 3, outputUsdPerMillion: 15 }),
};
const fleet = [
  candidate('away', {}, { state: NodeState.NODE_STATE_RECOVERING }),
  candidate('slow', { decodeTokensPerSecond: 20 }),
  candidate('paid', cloud),
  candidate('here', {}),
];
const wish = ask({
  classification: classification({
    complexity: 'complex',
    domain: 'law',
    language: 'fr',
    followUp: true,
    expectedOutputTokens: 200.4,
  }),
  cachedTokens: (node) => (node === 'here' ? 40 : 0),
  session: { node: 'here', model: 'm' },
  mayExplore: true,
  seed: 4,
});
const decision = decide(fleet, wish, knowledge({ beliefs: beliefs(0.2) }));

describe('what a client is told of a decision', () => {
  it('is what the prompt was taken for, under which policy, and what is expected', () => {
    const message = decisionMessage(decision);
    const best = decision.chosen as Considered;
    expect(message).toMatchObject({
      task: 'chat',
      complexity: Complexity.COMPLEXITY_COMPLEX,
      domain: 'law',
      language: 'fr',
      expectedOutputTokens: 200,
      followUp: true,
      policy: 'default',
      preference: DEFAULT_POLICY.preference,
      considered: 4,
      excluded: 1,
      propensity: best.standing?.propensity,
      explored: decision.explored,
      objectives: { quality: best.judged?.quality.mean, costUsd: best.judged?.costUsd, diversity: 1 },
      reason: decision.reason,
    });
    expect(message.tiers.map(({ probability }) => probability)).toEqual([0.5, 0.7, 0.8, 0.9]);
    expect(Decision.decode(Decision.encode(message).finish()).domain).toBe('law');
  });

  it('lists the candidates: the best, the others by distance, those ruled out', () => {
    const { candidates } = explanation(decision);
    expect(candidates[0]?.chosen).toBe(true);
    expect(candidates.at(-1)).toMatchObject({
      node: 'away',
      exclusion: 'the node is recovering',
      objectives: undefined,
      onFront: false,
    });
    const distances = candidates.slice(0, 3).map(({ distance }) => distance);
    expect(distances).toEqual(distances.toSorted((a, b) => a - b));
    const here = candidates.find(({ node }) => node === 'here');
    expect(here).toMatchObject({ cachedPromptTokens: 40, session: true, onFront: true });
    expect(candidates.find(({ node }) => node === 'slow')).toMatchObject({ onFront: false, crowding: 0, session: false });
    const bytes = ExplainResponse.encode(explanation(decision)).finish();
    expect(ExplainResponse.decode(bytes).candidates).toHaveLength(4);
  });

  it('says the same of quality, drawn and expected, when nothing is drawn', () => {
    const calm = explanation(decide(fleet, { ...wish, mayExplore: false }, knowledge()));
    for (const one of calm.candidates.slice(0, 3)) expect(one.drawnQuality).toBe(one.objectives?.quality);
  });
});

describe('the event', () => {
  it('carries the choice, and words for what was ruled out once they are read', () => {
    const told = decidedEvent(decision, decision.chosen as Considered);
    expect(told).toMatchObject({
      type: 'decided',
      node: decision.chosen?.candidate.node,
      considered: 4,
      policy: 'default',
      propensity: decision.chosen?.standing?.propensity,
      objectives: { qualitySd: 0.2 },
    });
    expect(told.excluded).toEqual([{ node: 'away', model: 'm', reason: 'the node is recovering' }]);
  });
});

describe('a refusal', () => {
  const limits = (some: object): Partial<Ask> => ({ policy: { ...DEFAULT_POLICY, limits: some } });

  it.each<[string, Candidate[], Partial<Ask>]>([
    ['NO_NODE', [], {}],
    ['MODEL_NOT_FOUND', [], { target: { type: 'model', name: 'x' } }],
    ['MODEL_NOT_FOUND', [candidate('n')], { target: { type: 'tier', tier: Tier.TIER_CLOUD } }],
    ['UNSUPPORTED', [candidate('n')], { structured: true }],
    ['UNSUPPORTED', [candidate('n')], { policy: { ...DEFAULT_POLICY, deny: ['m'] } }],
    ['UNSUPPORTED', [candidate('n')], limits({ minQuality: 0.99 })],
    ['UNSUPPORTED', [candidate('n')], limits({ maxLatencyMs: 1 })],
    ['CONTEXT_TOO_LONG', [candidate('n', { contextLength: 8 })], {}],
    ['NO_NODE', [candidate('n', {}, { state: NodeState.NODE_STATE_LOADING })], {}],
    ['NO_NODE', [candidate('n')], { tried: new Set(['n']) }],
    ['DEADLINE_EXCEEDED', [candidate('n')], { remainingMs: 1 }],
    ['QUEUE_FULL', [candidate('n')], { crowded: new Set(['m']) }],
    // The one that came furthest tells what is in the way.
    ['NO_NODE', [candidate('a', { contextLength: 8 }), candidate('b', {}, { state: NodeState.NODE_STATE_RECOVERING })], {}],
  ])('is %s', (reason, all, more) => {
    const wanted = ask(more);
    const refused = decide(all, wanted, knowledge());
    expect(refused).toMatchObject({ chosen: undefined, awaited: undefined });
    expect(refusalFault(refused, wanted).reason).toBe(reason);
  });
});
