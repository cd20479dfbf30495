/**
 * Whether checks say that more than a permitted share of hits is false. Pure.
 *
 * Checks come one by one and are looked at after each, so a test for a fixed number of them would be wrong: looked at
 * often enough, it stops anybody. This one may be looked at as often as one likes. It bets on rates over the limit, and
 * what the bets have won,
 *
 *   E = mean over rates r of  (r/limit)^false * ((1-r)/(1-limit))^true,
 *
 * is a supermartingale whenever the true rate is at most the limit, so that by Ville's inequality it ever reaches 1/alpha
 * with a probability of at most alpha. (Ramdas, Grünwald, Vovk, Shafer: Game-theoretic statistics and safe anytime-valid
 * inference, 2023.)
 */

/** Of stopping somebody within one span whose rate is at most the limit. */
export const ALPHA = 0.05;
/** After so many checks the bets begin anew: else a long good past would hide that it has become bad. */
export const SPAN = 200;
/** Rates that are bet on, as multiples of the limit. */
const MULTIPLES = [2, 4, 8, 16, 32];
const HIGHEST = 0.95;
/** Two sides of 2.5 %. */
const TAIL = 0.025;
const HALVINGS = 60;

export interface Checks {
  readonly checked: number;
  readonly falseHits: number;
}

/** Whether the checks of one span tell that the rate is over the limit. @param limit over 0, below 1 */
export function tellsAgainst({ checked, falseHits }: Checks, limit: number): boolean {
  return logOdds({ checked, falseHits }, limit) >= Math.log(1 / ALPHA);
}

/** The logarithm of E. */
function logOdds({ checked, falseHits }: Checks, limit: number): number {
  const rates = [...new Set(MULTIPLES.map((times) => Math.min(limit * times, Math.max(HIGHEST, (1 + limit) / 2))))];
  const logs = rates.map(
    (rate) => falseHits * Math.log(rate / limit) + (checked - falseHits) * Math.log((1 - rate) / (1 - limit)),
  );
  const largest = Math.max(...logs);
  return largest + Math.log(logs.reduce((sum, log) => sum + Math.exp(log - largest), 0) / rates.length);
}

/** The upper end of the 95 % interval of the rate (Clopper and Pearson, 1934); 1 without checks. */
export function upperRate({ checked, falseHits }: Checks): number {
  if (falseHits >= checked) return 1;
  let low = 0;
  let high = 1;
  for (let i = 0; i < HALVINGS; i++) {
    const middle = (low + high) / 2;
    if (atMost(falseHits, checked, middle) > TAIL) low = middle;
    else high = middle;
  }
  return high;
}

/** The probability of at most so many of all, each with this rate. */
function atMost(some: number, all: number, rate: number): number {
  if (rate <= 0) return 1;
  if (rate >= 1) return some >= all ? 1 : 0;
  let log = all * Math.log1p(-rate);
  let sum = Math.exp(log);
  for (let i = 1; i <= some; i++) {
    log += Math.log((all - i + 1) / i) + Math.log(rate) - Math.log1p(-rate);
    sum += Math.exp(log);
  }
  return sum;
}
