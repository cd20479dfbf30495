/** What is known of one mean, narrowed step by step from the general to the particular. Pure; normal throughout. */
import type { Cell } from './cell.ts';

/** Squared: recent rewards that are this many standard errors away from the long memory tell of a change. */
const SURPRISE = 4;

export class Posterior {
  mean = 0;
  variance = 0;

  copy(other: Posterior): this {
    this.mean = other.mean;
    this.variance = other.variance;
    return this;
  }

  /**
   * One step down: the mean of a group within this one, which lies around it with variance `spread`, given the group's
   * own rewards (normal-normal conjugate update).
   * @param noise variance of a single reward @param without what is not to be counted again, since the next step will
   */
  narrow(cell: Cell | undefined, without: Cell | undefined, spread: number, noise: number, worth: number): this {
    this.variance += spread;
    if (!cell) return this;
    const count = without ? cell.count - without.count : cell.count;
    if (count * worth < 1e-6) return this;
    const sum = without ? cell.sum - without.sum : cell.sum;
    const gain = this.variance / (this.variance + noise / (count * worth));
    this.mean += gain * (sum / count - this.mean);
    this.variance *= 1 - gain;
    return this;
  }

  /**
   * Follows the recent rewards as far as they tell of a change: by how much their mean is further away than chance
   * explains (method of moments for the variance of the change). Without a surprise nothing moves.
   */
  follow(cell: Cell | undefined, noise: number, worth: number): this {
    if (!cell) return this;
    const count = cell.recentCount * worth;
    if (count < 2) return this;
    const change = cell.recentSum / cell.recentCount - this.mean;
    const error = noise / count;
    const surprise = change * change - SURPRISE * (error + this.variance);
    if (surprise <= 0) return this;
    const gain = surprise / (surprise + error);
    this.mean += gain * change;
    this.variance = (1 - gain) * this.variance + gain * error;
    return this;
  }
}
