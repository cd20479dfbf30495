/** The standard normal distribution. Pure. */

/** Beyond so many standard deviations lie less than 4 in a million on either side. */
export const REACH = 4.5;

/** Abramowitz and Stegun, 26.2.17: to 1e-7. */
function exact(z: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(z));
  const poly = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const tail = 0.3989422804014327 * Math.exp(-0.5 * z * z) * poly;
  return z > 0 ? 1 - tail : tail;
}

const PER_UNIT = 64;
const TABLE = Float64Array.from({ length: 2 * REACH * PER_UNIT + 2 }, (_, i) => exact(i / PER_UNIT - REACH));

/** Chance of less than z, to 1e-5; 0 and 1 out of reach. A choice asks thousands of times, so it is read from a table. */
export function normalBelow(z: number): number {
  if (z <= -REACH) return 0;
  if (z >= REACH) return 1;
  const at = (z + REACH) * PER_UNIT;
  const i = Math.floor(at);
  const low = TABLE[i] as number;
  return low + ((TABLE[i + 1] as number) - low) * (at - i);
}
