/**
 * Percentiles of what was measured lately, in a few hundred bytes. Pure.
 *
 * Values fall into buckets whose bounds grow by a fixed ratio, so a percentile is right within that ratio. Older values
 * count less, half after each half-life, by forward decay (Cormode, Shkapenyuk, Srivastava, Xu, 2009): a new value enters
 * with more weight instead of all others losing some, so that adding costs the same however much is held.
 */

/** A value of 1 ms or less falls into the first bucket, one beyond half an hour into the last. */
const LOWEST_MS = 1;
/** Bounds grow by a fifth, 2^(1/4). */
const BUCKETS_PER_OCTAVE = 4;
const BUCKETS = 21 * BUCKETS_PER_OCTAVE;
/** Weights are brought back to small numbers after so many half-lives. */
const RESCALE_AFTER = 32;

export class FadingHistogram {
  readonly #halfLifeMs: number;
  readonly #weights = new Float64Array(BUCKETS);
  #landmark: number;
  #total = 0;
  #seen = 0;

  /** @param now the time of the clock that `add` and `weight` are given */
  constructor(halfLifeMs: number, now: number) {
    this.#halfLifeMs = halfLifeMs;
    this.#landmark = now;
  }

  /** How many values were ever added. */
  get seen(): number {
    return this.#seen;
  }

  /** How many values it holds, each for what is left of it. */
  weight(now: number): number {
    return this.#total / this.#growth(now);
  }

  /** @param times how often the value was measured */
  add(ms: number, now: number, times = 1): void {
    if ((now - this.#landmark) / this.#halfLifeMs > RESCALE_AFTER) this.#rescale(now);
    const weight = times * this.#growth(now);
    const bucket = bucketOf(ms);
    this.#weights[bucket] = (this.#weights[bucket] as number) + weight;
    this.#total += weight;
    this.#seen += times;
  }

  /** @param share 0 to 1; undefined while nothing was added */
  percentile(share: number): number | undefined {
    if (this.#total === 0) return undefined;
    let missing = share * this.#total;
    let last = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const weight = this.#weights[bucket] as number;
      if (weight === 0) continue;
      if (weight >= missing) return boundOf(bucket + Math.max(0, missing) / weight);
      missing -= weight;
      last = bucket;
    }
    // Only rounding gets here.
    return boundOf(last + 1);
  }

  #growth(now: number): number {
    return 2 ** ((now - this.#landmark) / this.#halfLifeMs);
  }

  #rescale(now: number): void {
    const growth = this.#growth(now);
    this.#total = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const weight = (this.#weights[bucket] as number) / growth;
      this.#weights[bucket] = weight;
      this.#total += weight;
    }
    this.#landmark = now;
  }
}

function bucketOf(ms: number): number {
  if (!(ms > LOWEST_MS)) return 0;
  return Math.min(BUCKETS - 1, Math.floor(Math.log2(ms / LOWEST_MS) * BUCKETS_PER_OCTAVE));
}

/** Where a bucket begins; a fraction lies that far within it. */
function boundOf(bucket: number): number {
  return LOWEST_MS * 2 ** (bucket / BUCKETS_PER_OCTAVE);
}
