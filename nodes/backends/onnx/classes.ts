/** What a model that tells classes says of a text. Pure. */

export interface Classes {
  /** By the number under which the model gives them. */
  readonly labels: readonly string[];
  /** Each may hold by itself; otherwise one of them does. */
  readonly independent: boolean;
}

/** How many of them an answer has, the likeliest first. */
const MOST_TOLD = 5;
const DIGITS = 4;

/**
 * @param logits one for each class
 * @returns JSON with the likeliest class, how likely it is, and the likeliest few
 */
export function answerOf(logits: Float32Array, { labels, independent }: Classes): string {
  const likely = independent ? Array.from(logits, (logit) => 1 / (1 + Math.exp(-logit))) : softmax(logits);
  const ranked = labels.map((label, i) => [label, Number((likely[i] as number).toFixed(DIGITS))] as const);
  const told = ranked.toSorted(([, a], [, b]) => b - a).slice(0, MOST_TOLD);
  const [label, score] = told[0] as readonly [string, number];
  return JSON.stringify({ label, score, scores: Object.fromEntries(told) });
}

/** Without a power of a large number. */
function softmax(logits: Float32Array): number[] {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
