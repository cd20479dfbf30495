import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { Fault } from '../../proto/contract/faults.ts';
import { looksLikeRefusal } from '../../router/ledger/refusal-wording.ts';
import type { Outcome } from '../../router/ledger/reward.ts';
import { REWARD_WEIGHTS, rewardOf, rewardWeights, utilityOf } from '../../router/ledger/reward.ts';

const ended = (more: Partial<Outcome> = {}): Outcome => ({ expected: 0.6, finish: 'stop', ...more });
const rewarded = (outcome: Outcome, weights = {}) => {
  const reward = rewardOf(outcome, weights);
  if (!reward) throw new Error('expected a reward');
  return reward;
};

describe('what an answer was worth', () => {
  it('is not known before it has ended, nor when it was ended by neither the model nor its engine', () => {
    expect(rewardOf({ expected: 0.6 })).toBeUndefined();
  });

  it('is what was expected when nobody remarks upon it, and that tells little', () => {
    expect(rewarded(ended())).toEqual({ reward: 0.6, weight: REWARD_WEIGHTS.unremarked, parts: { unremarked: 1 } });
  });

  it('is its rating where there is one, however it ended', () => {
    expect(rewarded(ended({ rating: 0.9 })).reward).toBeCloseTo(0.9);
    expect(rewarded({ expected: 0.2, rating: 0.9 }).reward).toBeCloseTo(0.9);
  });

  it.each([
    ['its engine failed', { finish: 'failed' }],
    ['it breaks the schema', { schemaValid: false }],
    ['it refuses', { refused: true }],
    ['the prompt is asked again', { retried: true }],
    ['it is cut off', { finish: 'length' }],
    ['it takes longer than promised', { latencyMs: 3000, promisedMs: 1000 }],
  ] as const)('falls when %s', (_why, outcome) => {
    const { reward, weight } = rewarded(ended(outcome));
    expect(reward).toBeLessThan(0.6);
    expect(weight).toBeGreaterThan(0);
  });

  it('falls further the more is wrong with it', () => {
    expect(rewarded(ended({ refused: true, retried: true })).reward).toBeLessThan(rewarded(ended({ refused: true })).reward);
  });

  it('does not rise by being faster than promised, or by holding to a schema', () => {
    expect(rewarded(ended({ latencyMs: 1, promisedMs: 1000, schemaValid: true })).reward).toBe(0.6);
  });

  it('goes by what is said rather than by what shows', () => {
    const { reward } = rewarded(ended({ rating: 1, finish: 'length', retried: true, refused: true, schemaValid: false }));
    expect(reward).toBeGreaterThan(0.7);
    expect(reward).toBeLessThan(1);
  });

  it('is surer the more figures it has', () => {
    const weights = [{ readability: 1 }, { readability: 1, recall: 1 }, { readability: 1, recall: 1, rating: 1 }].map(
      (figures) => rewarded(ended(figures)).weight,
    );
    expect(weights).toEqual(weights.toSorted((a, b) => a - b));
    expect(weights[0]).toBeLessThan(0.5);
    expect(weights[2]).toBeGreaterThan(0.8);
  });

  it('leaves out what has no weight', () => {
    expect(rewarded(ended({ rating: 1, readability: 0 }), { readability: 0 })).toMatchObject({ reward: 1, parts: { rating: 1 } });
    expect(rewardOf(ended(), { unremarked: 0 })).toBeUndefined();
  });

  test('stays between 0 and 1, as its weight does, whatever is known', () => {
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
    const outcomes = fc.record({
      expected: share,
      finish: fc.constantFrom('stop', 'length', 'failed', undefined),
      schemaValid: maybe(fc.boolean()),
      refused: maybe(fc.boolean()),
      retried: maybe(fc.boolean()),
      latencyMs: maybe(fc.nat()),
      promisedMs: maybe(fc.nat()),
      rating: maybe(share),
      groundedness: maybe(share),
      recall: maybe(share),
      readability: maybe(share),
    });
    const weights = fc.dictionary(fc.constantFrom(...Object.keys(REWARD_WEIGHTS)), share);
    fc.assert(
      fc.property(outcomes, weights, (outcome, given) => {
        const credited = rewardOf(outcome, given);
        if (!credited) return;
        expect(credited.reward).toBeGreaterThanOrEqual(0);
        expect(credited.reward).toBeLessThanOrEqual(1);
        expect(credited.weight).toBeGreaterThan(0);
        expect(credited.weight).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('a better figure never makes it worth less', () => {
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    const figure = fc.constantFrom('rating', 'groundedness', 'recall', 'readability');
    fc.assert(
      fc.property(fc.record({ expected: share, rating: share, recall: share }), figure, share, share, (outcome, name, a, b) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)];
        const worth = (value: number) => rewarded({ ...outcome, finish: 'length', [name]: value }).reward;
        expect(worth(more)).toBeGreaterThanOrEqual(worth(less) - 1e-12);
      }),
    );
  });
});

describe('weights of rewards', () => {
  it('are the given ones among the usual', () => {
    expect(rewardWeights({ rating: 0.1 })).toEqual({ ...REWARD_WEIGHTS, rating: 0.1 });
  });

  it('that are wrong are told together', () => {
    const wrong = () => rewardWeights({ rating: 2, ratting: 0.5 });
    expect(wrong).toThrow(/rewards.rating must be from 0 to 1, received 2/);
    try {
      wrong();
    } catch (fault) {
      expect((fault as Fault).violations.map(({ field }) => field)).toEqual(['rewards.rating', 'rewards.ratting']);
    }
  });
});

describe('utility', () => {
  const terms = { weights: { quality: 2, cost: 1, latency: 1 }, dearUsd: 0.01, slowMs: 1000 };

  it('is the reward less cost and latency, in shares of what is dear and slow', () => {
    expect(utilityOf(1, 0, 0, terms)).toBeCloseTo(0.5);
    expect(utilityOf(1, 0.005, 0, terms)).toBeCloseTo(0.375);
    expect(utilityOf(0, 0.02, 5000, terms)).toBeCloseTo(-0.5);
  });

  it('weighs only what has weight', () => {
    expect(utilityOf(0.7, 1, 1e6, { ...terms, weights: { quality: 1, cost: 0, latency: 0 } })).toBeCloseTo(0.7);
  });
});

describe('a refusal', () => {
  it.each([
    "I'm sorry, but I can't assist with that request.",
    'I cannot help with that.',
    'As an AI language model, I am unable to browse the internet.',
    'Es tut mir leid, dabei kann ich nicht helfen.',
    'Ich kann diese Frage leider nicht beantworten.',
    'Je suis désolé, mais je ne peux pas répondre à cette question.',
    'Lo siento, no puedo ayudarte con eso.',
    'Desculpe, mas não posso ajudar com isso.',
    'Mi dispiace, non posso aiutarti con questa richiesta.',
    'Sorry, ik kan je daar niet mee helpen.',
    'Przykro mi, ale nie mogę pomóc w tej sprawie.',
    'Извините, я не могу помочь с этим.',
    '很抱歉，我无法提供这方面的信息。',
    '申し訳ありませんが、その質問にはお答えできません。',
  ])('is told by how it begins: %s', (text) => expect(looksLikeRefusal(text)).toBe(true));

  it.each([
    'You cannot divide by zero, so the limit must be taken.',
    'I can help with that: first, open the file.',
    'She said: sorry, the shop is closed.',
    'Der Satz gilt nicht für ungerade Zahlen.',
    'The court cannot answer hypothetical questions.',
    '',
  ])('is not every no: %s', (text) => expect(looksLikeRefusal(text)).toBe(false));

  it('does not go on at length', () => {
    expect(looksLikeRefusal(`I'm sorry, but I can't help with that. ${'However, here is how. '.repeat(100)}`)).toBe(false);
  });
});
