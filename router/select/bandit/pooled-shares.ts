/** What was served here and elsewhere, kept apart and read together, as in pool.ts. Pure. */
import type { Context } from '../belief.ts';
import { Shares } from './shares.ts';
import { TimeFrame } from './time-frame.ts';

export class PooledShares {
  readonly own: Shares;
  readonly #new: () => Shares;
  readonly #others = new Map<string, Shares>();
  /** The own ones until there are others. */
  #view: Shares;

  constructor(halfLifeMs: number, maxModels: number) {
    this.#new = () => new Shares(new TimeFrame(halfLifeMs), maxModels);
    this.own = this.#new();
    this.#view = this.own;
  }

  served(model: string, context: Context, now: number): void {
    this.own.served(model, context, now);
    if (this.#view !== this.own) this.#view.served(model, context, now);
  }

  share(model: string, context: Context, now: number): number {
    return this.#view.share(model, context, now);
  }

  /** @param shares of another, in place of what it had; undefined: none any more */
  heed(by: string, shares: Shares | undefined): void {
    if (shares) this.#others.set(by, shares);
    else this.#others.delete(by);
    this.#renew();
  }

  /** What another has served counts as the own. */
  add(other: Shares): void {
    this.own.add(other);
    if (this.#others.size > 0) this.#renew();
  }

  #renew(): void {
    this.#view = this.#new();
    this.#view.add(this.own);
    for (const [, one] of [...this.#others].toSorted(([a], [b]) => (a < b ? -1 : 1))) this.#view.add(one);
  }
}
