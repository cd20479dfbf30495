/** Arms, contexts and lessons for the bandit's tests, and arbitrary ones for its properties. */
import fc from 'fast-check';
import { COMPLEXITIES, DOMAINS, TASKS } from '../../../router/classify/classification.ts';
import { Bandit } from '../../../router/select/bandit/bandit.ts';
import type { Arm, Context } from '../../../router/select/belief.ts';

export const NOW = Date.UTC(2026, 10, 21);
export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

export const SMALL: Arm = { model: 'small', tier: 1 };
export const SIBLING: Arm = { model: 'sibling', tier: 1 };
export const LARGE: Arm = { model: 'large', tier: 3 };

export const LAW: Context = { domain: 'law', complexity: 'simple', task: 'question' };
export const CODE: Context = { domain: 'computing', complexity: 'moderate', task: 'code' };

export interface Taught {
  readonly arm: Arm;
  readonly context: Context;
  readonly prior: number;
  readonly reward: number;
  readonly weight: number;
  readonly at: number;
}

const share = fc.double({ min: 0, max: 1, noNaN: true });
export const contexts: fc.Arbitrary<Context> = fc.record({
  domain: fc.constantFrom(...DOMAINS.slice(0, 3)),
  complexity: fc.constantFrom(...COMPLEXITIES),
  task: fc.constantFrom(...TASKS.slice(0, 3)),
});
export const arms: fc.Arbitrary<Arm> = fc.constantFrom(SMALL, SIBLING, LARGE);
/** Over a month, so that the frame of time moves on, and not in order. */
export const times: fc.Arbitrary<number> = fc.integer({ min: NOW - 30 * DAY, max: NOW });
export const taught: fc.Arbitrary<Taught> = fc.record({
  arm: arms,
  context: contexts,
  prior: share,
  reward: share,
  weight: fc.double({ min: 0.01, max: 1, noNaN: true }),
  at: times,
});
export const histories = fc.array(taught, { maxLength: 40 });

export function teach(bandit: Bandit, { arm, context, prior, reward, weight, at }: Taught) {
  bandit.served(arm, context, at);
  return bandit.learn(arm, context, prior, reward, weight, at);
}

export function banditOf(history: readonly Taught[]): Bandit {
  const bandit = new Bandit();
  for (const one of history) teach(bandit, one);
  return bandit;
}

/** The same reward so many times, a minute apart, up to now. */
export function repeat(bandit: Bandit, arm: Arm, context: Context, reward: number, times: number, until = NOW): void {
  for (let i = times - 1; i >= 0; i--) bandit.learn(arm, context, 0.5, reward, 1, until - i * 60_000);
}

/** Every weight and sum of a snapshot by its path, so that two can be compared with a tolerance. */
export function figuresIn(value: unknown, path = ''): Map<string, number> {
  if (typeof value === 'number') return new Map([[path, value]]);
  if (typeof value !== 'object' || value === null) return new Map();
  const named = Array.isArray(value) && value.every((one) => typeof one === 'object' && one !== null);
  return new Map(
    Object.entries(value).flatMap(([key, inner]) => {
      const name = named ? ((inner as { model?: string }).model ?? `tier ${(inner as { tier: number }).tier}`) : key;
      return [...figuresIn(inner, `${path}/${name}`)];
    }),
  );
}
