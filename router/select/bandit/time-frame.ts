/**
 * Weights that fade with time and still add. Pure.
 *
 * A weight is kept as it was, or will be, at a reference time: 2^((t - reference) / half-life) for what comes at t. The
 * reference is a whole number of half-lives since 1970, the same wherever the half-life is. Moving on to a later one
 * multiplies by a power of two, which rounds nothing, so states of different age add exactly.
 */
export class TimeFrame {
  readonly halfLifeMs: number;
  /** In half-lives since 1970. */
  #reference = Number.NEGATIVE_INFINITY;

  constructor(halfLifeMs: number, reference = Number.NEGATIVE_INFINITY) {
    this.halfLifeMs = halfLifeMs;
    this.#reference = reference;
  }

  /** -Infinity until anything has come. */
  get reference(): number {
    return this.#reference;
  }

  /** Moves on where t needs it. @returns what all weights kept so far are to be multiplied by */
  moveTo(t: number): number {
    return this.moveToReference(Math.floor(t / this.halfLifeMs));
  }

  moveToReference(reference: number): number {
    if (reference <= this.#reference) return 1;
    const factor = this.#reference === Number.NEGATIVE_INFINITY ? 1 : 2 ** (this.#reference - reference);
    this.#reference = reference;
    return factor;
  }

  /** Weight in this frame of what comes at t. */
  weightAt(t: number): number {
    return 2 ** (t / this.halfLifeMs - this.#reference);
  }

  /** What a weight of this frame is worth now. */
  worthAt(now: number): number {
    return this.#reference === Number.NEGATIVE_INFINITY ? 0 : 2 ** (this.#reference - now / this.halfLifeMs);
  }
}
