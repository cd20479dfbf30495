import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Tier } from '../../../proto/gen/infermesh/v1/types.ts';
import { NodeState, ServedModel } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Classification } from '../../../router/classify/classification.ts';
import { lineOf, parseLine } from '../../../router/ledger/decision-entry.ts';
import { choiceOf } from '../../../router/ledger/logged-choice.ts';
import { asItWas, underPolicy } from '../../../router/ledger/made-again.ts';
import type { Ask, Candidate, Decision, Knowledge } from '../../../router/select/candidate.ts';
import { decide } from '../../../router/select/decide.ts';
import type { Policy } from '../../../router/select/policy.ts';
import { DEFAULT_POLICY } from '../../../router/select/policy.ts';
import { decisionEntry } from './entries.ts';

const MEANS: Readonly<Record<string, number>> = { small: 0.6, middle: 0.65, large: 0.75 };
const KNOWLEDGE: Knowledge = {
  beliefs: { belief: ({ model }) => ({ mean: MEANS[model] ?? 0.5, sd: 0.1 }), share: () => 0.3 },
  classifier: { classify: () => CLASSIFICATION, quality: () => undefined },
  now: 0,
};
const CLASSIFICATION: Classification = {
  complexity: 'moderate',
  suffices: { fast: 0.5, balanced: 0.6, quality: 0.8, cloud: 0.9 },
  everyday: false,
  rank: 0,
  domain: 'law',
  task: 'question',
  language: 'en',
  expectedOutputTokens: 100,
  followUp: false,
  factors: new Float32Array(),
};

function candidate(node: string, name: string, tier: number, price: number, more: Partial<Candidate> = {}): Candidate {
  const rates = { prefillTokensPerSecond: 1000, decodeTokensPerSecond: 60 / tier };
  return {
    node,
    zone: '',
    state: NodeState.NODE_STATE_SERVING,
    returning: false,
    model: ServedModel.fromPartial({
      ...{ name, tier: tier as Tier, slots: 4, contextLength: 4096, ...rates },
      price: { inputUsdPerMillion: price, outputUsdPerMillion: price },
    }),
    freeSlots: 4,
    running: 0,
    queuedPromptTokens: 0,
    expectedTokens: 0,
    waiting: 0,
    ...more,
  };
}

const FLEET = [
  candidate('s1', 'small', 1, 0.1, { zone: 'eu' }),
  candidate('s2', 'small', 1, 0.1, { running: 2 }),
  candidate('m1', 'middle', 2, 0.4),
  candidate('l1', 'large', 3, 1),
  candidate('gone', 'large', 3, 1, { state: NodeState.NODE_STATE_DRAINING }),
];

const ask = (more: Partial<Ask> = {}): Ask => ({
  target: { type: 'auto' },
  classification: CLASSIFICATION,
  promptBytes: 400,
  promptTokens: 100,
  expectedOutputTokens: 100,
  structured: false,
  remainingMs: 120_000,
  policy: DEFAULT_POLICY,
  mayExplore: true,
  seed: 1,
  cachedTokens: () => 0,
  tried: new Set(),
  crowded: new Set(),
  ...more,
});
const ASKED = { ownPreference: false, withoutExploration: false };

function logged(wish: Ask, fleet = FLEET) {
  const decision = decide(fleet, wish, KNOWLEDGE);
  const choice = choiceOf(decision, wish, decision.chosen!, ASKED)!;
  const parsed = parseLine(lineOf({ ...decisionEntry(), ...choice }));
  if (parsed.type !== 'entry' || parsed.entry.type !== 'decision') throw new Error('not a decision');
  return { decision, entry: parsed.entry };
}

describe('a decision of the router, as its line has it', () => {
  it('holds who was in the choice, each model first by its best, and not who was ruled out', () => {
    const { entry, decision } = logged(ask());
    expect(entry.candidates.map(({ node }) => node).toSorted()).toEqual(['l1', 'm1', 's1', 's2']);
    expect(entry.candidates.at(-1)!.node).toBe('s2');
    expect(entry.candidates.find(({ node }) => node === 's1')).toMatchObject({ model: 'small', tier: 1, zone: 'eu' });
    expect(entry.candidates[entry.chosen]!.node).toBe(decision.chosen!.candidate.node);
    expect(entry.context).toEqual({ domain: 'law', complexity: 'moderate', task: 'question', language: 'en' });
  });

  it.each([
    ['auto', {}],
    ['without exploration', { mayExplore: false }],
    ['in a conversation', { session: { node: 'l1', model: 'large' } }],
    [
      'under another preference',
      { policy: { ...DEFAULT_POLICY, preference: { cost: 1, quality: 0, latency: 0, diversity: 0 } } },
    ],
  ])('is made again from it with the same propensities: %s', (_what, more) => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (seed) => {
        const wish = ask({ ...more, seed });
        const { decision, entry } = logged(wish);
        const same = underPolicy(entry, wish.policy)!;
        const was = asItWas(entry);
        expect(same.best).toBe(was.best);
        const expected = wish.mayExplore ? decision.propensities : new Map([[was.best, 1]]);
        for (const [model, probability] of expected) {
          const again = wish.mayExplore ? same.drawn.get(model) : Number(model === same.best);
          expect(again).toBeCloseTo(probability, 4);
        }
        expect(entry.explored).toBe(entry.candidates[entry.chosen]!.model !== same.best);
      }),
      { numRuns: 50 },
    );
  });

  it('tells that chance was not allowed, by the budget or by the policy', () => {
    const of = (more: Partial<Ask>) => logged(ask(more)).entry.mayExplore;
    const never: Policy = { ...DEFAULT_POLICY, exploration: 0 };
    expect([of({}), of({ mayExplore: false }), of({ policy: never })]).toEqual([true, false, false]);
  });

  it('stays bounded with hundreds of nodes, and can be made again all the same', () => {
    const fleet = Array.from({ length: 200 }, (_, i) => candidate(`s${i}`, 'small', 1, 0.1, { running: i % 7 }));
    const { entry, decision } = logged(ask(), [...fleet, ...FLEET]);
    expect(entry.candidates).toHaveLength(64);
    const same = underPolicy(entry, DEFAULT_POLICY)!;
    for (const [model, probability] of decision.propensities) expect(same.drawn.get(model)).toBeCloseTo(probability, 4);
  });

  it('is none for a candidate that no choice was about', () => {
    const decision: Decision = decide(FLEET, ask(), KNOWLEDGE);
    const gone = decision.considered.find((one) => one.candidate.node === 'gone')!;
    expect(choiceOf(decision, ask(), gone, ASKED)).toBeUndefined();
  });
});
