/**
 * A fleet whose qualities drift: five models, six domains that ask for different ones, and a change midway that nobody
 * announces. Rewards are coin flips with the model's present chance in this domain and complexity.
 */
import type { Complexity, Domain, Task } from '../../../router/classify/classification.ts';
import type { Arm } from '../../../router/select/belief.ts';
import type { Random } from '../../../router/select/random.ts';
import type { Turn } from './players.ts';

export const ARMS: readonly Arm[] = [
  { model: 'small', tier: 1 },
  { model: 'small-coder', tier: 1 },
  { model: 'middle', tier: 2 },
  { model: 'large', tier: 3 },
  { model: 'cloud', tier: 4 },
];

/** Cost of an answer against the dearest. */
const COSTS = [0.02, 0.02, 0.08, 0.3, 1];

const KINDS: readonly { domain: Domain; task: Task; share: number }[] = [
  { domain: 'general', task: 'chat', share: 0.25 },
  { domain: 'computing', task: 'code', share: 0.2 },
  { domain: 'maths', task: 'maths', share: 0.15 },
  { domain: 'law', task: 'question', share: 0.15 },
  { domain: 'medicine', task: 'question', share: 0.15 },
  { domain: 'business', task: 'summary', share: 0.1 },
];
const COMPLEXITIES: readonly Complexity[] = ['simple', 'moderate', 'complex'];
const COMPLEXITY_SHARES = [0.6, 0.3, 0.1];

/** Chance of a good answer by complexity, as a classifier that knows only tiers has it. */
const EXPECTED: readonly (readonly number[])[] = [
  [0.8, 0.5, 0.2],
  [0.8, 0.5, 0.2],
  [0.87, 0.68, 0.4],
  [0.92, 0.8, 0.6],
  [0.96, 0.9, 0.8],
];

/** By domain: how much better each model really is. */
const STRENGTHS: Readonly<Record<string, readonly number[]>> = {
  general: [0.05, -0.15, 0, 0, 0],
  computing: [-0.35, 0.12, -0.15, -0.05, 0],
  maths: [-0.4, -0.3, 0.1, 0, 0],
  law: [-0.35, -0.5, -0.4, 0.05, 0],
  medicine: [-0.3, -0.5, 0.05, -0.2, 0],
  business: [0, -0.3, 0, 0, 0],
};

/** After the change: the coder broke, the large one got worse at law and better at maths, the middle one forgot medicine. */
const CHANGED: Readonly<Record<string, readonly number[]>> = {
  ...STRENGTHS,
  computing: [-0.35, -0.6, -0.15, 0.08, 0],
  maths: [-0.4, -0.3, -0.4, 0.15, 0],
  law: [-0.35, -0.5, -0.4, -0.45, 0],
  medicine: [0.1, -0.5, -0.5, -0.2, 0],
};

/**
 * Worth is expected, not flipped, so that regret is free of luck.
 * @param costWeight what the dearest model's answer takes off its score
 */
export function simulate(turns: number, costWeight: number, random: Random): Turn[] {
  const charges = COSTS.map((cost) => costWeight * cost);
  return Array.from({ length: turns }, (_, i) => {
    const { domain, task } = KINDS[
      pick(
        KINDS.map(({ share }) => share),
        random(),
      )
    ] as (typeof KINDS)[number];
    const level = pick(COMPLEXITY_SHARES, random());
    const strengths = (i < turns / 2 ? STRENGTHS : CHANGED)[domain] as readonly number[];
    const priors = ARMS.map((_arm, arm) => EXPECTED[arm]?.[level] as number);
    const chances = priors.map((prior, arm) => Math.min(0.98, Math.max(0.02, prior + (strengths[arm] as number))));
    return {
      context: { domain, task, complexity: COMPLEXITIES[level] as Complexity },
      domain,
      priors,
      scores: chances.map((chance) => Number(random() < chance)),
      charges,
      worth: chances.map((chance, arm) => chance - (charges[arm] as number)),
    };
  });
}

function pick(shares: readonly number[], at: number): number {
  let sum = 0;
  for (const [i, share] of shares.entries()) {
    sum += share;
    if (at < sum) return i;
  }
  return shares.length - 1;
}
