/**
 * What a prompt comes down to for the quality of one model: few numbers of mean 0 and deviation 1, so that some hundred
 * scored prompts are enough to learn a new model. Pure.
 */
import { MIXTURE_AT } from './features.ts';
import { DOMAIN_AT, DOMAIN_HEADS } from './mixture.ts';
import { SHAPES } from './shape.ts';
import type { Weights } from './weights.ts';

/** Shapes that part one data set's form from another's. */
const PLAIN_SHAPES = [
  'stemUnits',
  'numbers',
  'options',
  'optionParen',
  'answer',
  'optionNumeric',
  'optionUnits',
  'mathDollars',
  'code',
];

const shapeIndex = PLAIN_SHAPES.map((name) => SHAPES.indexOf(name === 'code' ? 'share:code' : name));

/** Small, strong, rank, the shapes, the domains. */
export const FACTORS: readonly string[] = [
  'small',
  'strong',
  'rank',
  ...PLAIN_SHAPES,
  ...DOMAIN_HEADS.map((domain) => `domain:${domain}`),
];

/** Probability -> log-odds, away from the ends. */
export function logit(probability: number): number {
  const inside = Math.min(0.98, Math.max(0.02, probability));
  return Math.log(inside / (1 - inside));
}

/** Before `standardise`. @param dense as the trees see a text, from `from` on */
export function rawFactors(
  dense: Float32Array,
  from: number,
  forests: { readonly small: number; readonly strong: number; readonly rank: number },
  out: Float32Array,
  to: number,
): void {
  out[to] = logit(forests.small);
  out[to + 1] = logit(forests.strong);
  out[to + 2] = forests.rank;
  let at = to + 3;
  for (const index of shapeIndex) out[at++] = dense[from + index] as number;
  const first = from + MIXTURE_AT + DOMAIN_AT;
  for (let domain = 0; domain < DOMAIN_HEADS.length; domain++) out[at++] = dense[first + domain] as number;
}

export function standardise(
  factors: Float32Array,
  { factorMean, factorScale }: Pick<Weights, 'factorMean' | 'factorScale'>,
): void {
  for (let at = 0; at < factors.length; at++)
    factors[at] = ((factors[at] as number) - (factorMean[at] as number)) * (factorScale[at] as number);
}
