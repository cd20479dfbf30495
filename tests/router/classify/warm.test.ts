/** Models learnt from some hundred scored prompts of a world where the truth is known. */
import { describe, expect, test } from 'vitest';
import type { Classification } from '../../../router/classify/classification.ts';
import { designOf, predicted, ridge } from '../../../router/classify/ridge.ts';
import type { Knowing, ScoredPrompt } from '../../../router/classify/warm.ts';
import { learnModels } from '../../../router/classify/warm.ts';
import { learnRank } from '../../../router/classify/warm-rank.ts';
import { seeded } from '../../../router/train/random.ts';

const FACTORS = 8;

/** The weights know one model, which finds the first factor hard. */
const classifier: Knowing = {
  knownModels: ['known'],
  classify: () => {
    throw new Error('not asked for here');
  },
  quality: ({ factors }, model) => (model === 'known' ? 1 / (1 + Math.exp(-0.5 + (factors[0] as number))) : undefined),
};

/** What each model truly does: the same prompts are hard for all; the second factor decides between the new two. */
const TRUTH: Readonly<Record<string, (factors: Float32Array) => number>> = {
  known: (factors) => 1 / (1 + Math.exp(-0.5 + (factors[0] as number))),
  left: (factors) => 0.5 - 0.1 * (factors[0] as number) - 0.15 * Math.sign(factors[1] as number),
  right: (factors) => 0.5 - 0.1 * (factors[0] as number) + 0.15 * Math.sign(factors[1] as number),
};
const NAMES = Object.keys(TRUTH);

function classified(draw: () => number): Classification {
  const factors = Float32Array.from({ length: FACTORS }, () => 2 * draw() - 1);
  return { factors, rank: factors[2] as number, expectedOutputTokens: 100 } as Classification;
}

function world(count: number, seed: number): ScoredPrompt[] {
  const draw = seeded(seed);
  return Array.from({ length: count }, () => {
    const classification = classified(draw);
    const promptChars = 50 + Math.floor(500 * draw());
    const luck = draw();
    return {
      classification,
      promptChars,
      scores: NAMES.map((name) => (luck < (TRUTH[name] as (factors: Float32Array) => number)(classification.factors) ? 1 : 0)),
      costs: NAMES.map((_, index) => (index + 1) * 1e-6 * promptChars),
    };
  });
}

const best = (values: readonly (number | undefined)[]) => values.indexOf(Math.max(...values.map((value) => value ?? -1)));

describe('models learnt from scored prompts', () => {
  const learnt = learnModels(NAMES, world(300, 1), classifier);
  const others = world(1000, 2);

  test('are chosen better than any single one of them', () => {
    const truth = (name: number, { classification }: ScoredPrompt) =>
      TRUTH[NAMES[name] as string]?.(classification.factors) as number;
    const mean = (choose: (prompt: ScoredPrompt) => number) =>
      others.reduce((total, prompt) => total + truth(choose(prompt), prompt), 0) / others.length;
    const chosen = mean((prompt) => best(learnt.quality(prompt.classification)));
    const single = Math.max(...NAMES.map((_, index) => mean(() => index)));
    expect(chosen).toBeGreaterThan(single + 0.01);
  });

  test('have a quality near the true one, between 0 and 1', () => {
    for (const [index, name] of NAMES.entries()) {
      const expected = others.map(({ classification }) => learnt.quality(classification)[index] as number);
      const off = others.map(
        ({ classification }, row) => (expected[row] as number) - (TRUTH[name]?.(classification.factors) as number),
      );
      expect(Math.sqrt(off.reduce((total, one) => total + one * one, 0) / off.length)).toBeLessThan(0.13);
      expect(expected.every((quality) => quality > 0 && quality < 1)).toBe(true);
    }
  });

  test('cost what their prompts cost, by length', () => {
    for (const promptChars of [100, 500]) {
      const { classification } = others[0] as ScoredPrompt;
      const costs = learnt.costUsd(classification, promptChars);
      for (const [index, usd] of costs.entries())
        expect((usd as number) / ((index + 1) * 1e-6 * promptChars)).toBeCloseTo(1, 0.9);
    }
  });

  test('are the same for the same prompts', () => {
    const again = learnModels(NAMES, world(300, 1), classifier);
    for (const { classification } of others.slice(0, 20))
      expect(again.quality(classification)).toEqual(learnt.quality(classification));
  });
});

test('a model with prompts of its own is learnt from these, and one without any is not known', () => {
  const apart = world(300, 3).map((prompt, row) => ({
    ...prompt,
    scores: prompt.scores.map((score, model) => (model === row % 2 ? score : undefined)),
    costs: NAMES.map(() => undefined),
  }));
  const learnt = learnModels(NAMES, apart, classifier);
  const [{ classification }] = world(1, 4) as [ScoredPrompt];
  expect(learnt.quality(classification)).toEqual([expect.any(Number), expect.any(Number), undefined]);
  expect(learnt.costUsd(classification, 100)).toEqual([undefined, undefined, undefined]);
});

test.each([1, 2, 5])('%i scored prompts are enough to expect something, and too few to be sure', (count) => {
  const learnt = learnModels(NAMES, world(count, 5), classifier);
  for (const { classification } of world(50, 6))
    for (const quality of learnt.quality(classification)) expect(quality).toSatisfy((value: number) => value > 0 && value < 1);
});

describe('a rank learnt from scored prompts', () => {
  const pair = { weak: NAMES.indexOf('left'), strong: NAMES.indexOf('right') };
  const auroc = (rank: (classification: Classification) => number): number => {
    const rows = world(2000, 8);
    const gain = ({ scores }: ScoredPrompt) => (scores[pair.strong] as number) - (scores[pair.weak] as number);
    const up = rows.filter((row) => gain(row) > 0);
    const down = rows.filter((row) => gain(row) < 0);
    const wins = up.flatMap((a) => down.map((b) => (rank(a.classification) > rank(b.classification) ? 1 : 0)));
    return wins.reduce<number>((total, win) => total + win, 0) / wins.length;
  };

  test('finds what the trained one does not know', () => {
    const prompts = world(300, 7);
    const rank = learnRank(pair, prompts, learnModels(NAMES, prompts, classifier));
    expect(auroc(({ rank: trained }) => trained)).toBeLessThan(0.6);
    expect(auroc(rank as (classification: Classification) => number)).toBeGreaterThan(0.8);
  });

  test('keeps to the trained one where there are few prompts', () => {
    const prompts = world(12, 9);
    const rank = learnRank(pair, prompts, learnModels(NAMES, prompts, classifier)) as (classification: Classification) => number;
    const [{ classification }] = world(1, 10) as [ScoredPrompt];
    expect(rank({ ...classification, rank: 1 })).toBeGreaterThan(rank({ ...classification, rank: -1 }));
  });

  test('needs prompts that both were asked', () => {
    const apart = world(100, 11).map((prompt, row) => ({
      ...prompt,
      scores: prompt.scores.map((score, model) => (model === (row % 2 === 0 ? pair.weak : pair.strong) ? score : undefined)),
    }));
    expect(learnRank(pair, apart, learnModels(NAMES, apart, classifier))).toBeUndefined();
  });
});

test('what a fit says of a row it has not seen is what leaving the row out and fitting again says', () => {
  const draw = seeded(12);
  const rows = Array.from({ length: 20 }, () => Float64Array.from({ length: 3 }, draw));
  const target = Float64Array.from(rows, (row) => (row[0] as number) + draw());
  const scales = Float64Array.of(1, 0.5, 0);
  const whole = ridge(designOf(rows), scales, [target]);
  for (const left of [0, 7, 19]) {
    const design = designOf(rows.toSpliced(left, 1));
    const without = ridge(design, scales, [target.filter((_, row) => row !== left)]);
    expect(whole.leftOut[0]?.[left]).toBeCloseTo(predicted(design, without, 0, rows[left] as Float64Array), 6);
  }
});
