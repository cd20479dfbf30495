/**
 * What is believed of each model's quality, learnt from rewards. Pure.
 *
 * The classifier's estimate for this prompt is the prior; what is learnt is how far rewards lie from it. Four levels
 * pool what they know: the tier's other models -> the model -> the model in this domain, in this complexity, in this
 * task -> the model in exactly this context. Each level lies around the one above with a variance of its own, and no
 * reward counts at two levels: a level's figures are taken without those of the next. So a context that was never seen
 * believes what its three parents do, and a model that was never tried what its tier does.
 *
 * State is sums (cell.ts), so what several routers learnt is put together by adding (pool.ts), in any order.
 */
import type { Arm, Belief, Beliefs, Context } from '../belief.ts';
import { axesOf, contextPlace } from './coordinates.ts';
import type { Lesson } from './memory.ts';
import type { Part } from './parts.ts';
import { FOLDED, kindOf, nameOfArm, partOf, readPart, SHARES } from './parts.ts';
import { Pool } from './pool.ts';
import { PooledShares } from './pooled-shares.ts';
import { Posterior } from './posterior.ts';
import type { Snapshot } from './snapshot.ts';
import { readSnapshot, writeSnapshot } from './snapshot.ts';
import { NOISE, spreadsOf } from './spreads.ts';
import { TimeFrame } from './time-frame.ts';

const HOUR_MS = 3_600_000;

export interface BanditOptions {
  /** Of a reward's weight, in ms; over 0. */
  readonly halfLifeMs: number;
  /** Of a request in the shares, in ms; over 0. */
  readonly shareHalfLifeMs: number;
  /** Of a model's quality around the prior before any reward, 0.001 to 0.5. */
  readonly priorSd: number;
  /** Models kept one by one; 1 or more. */
  readonly maxArms: number;
  /** Full contexts kept, of all models together; 1 or more. */
  readonly maxContexts: number;
}

export const DEFAULT_BANDIT: BanditOptions = {
  halfLifeMs: 7 * 24 * HOUR_MS,
  shareHalfLifeMs: HOUR_MS,
  priorSd: 0.15,
  maxArms: 512,
  maxContexts: 8192,
};

/** How the prior's variance is spread over the levels; the sum is 1. */
const SPREAD = { tier: 0.35, arm: 0.55, axis: 0.07, context: 0.03 };
const LEAST_SD = 0.005;
/** A mean this near to 0 or 1 is as near as it gets. */
const EDGE = 0.001;

export class Bandit implements Beliefs {
  readonly options: BanditOptions;
  readonly #pool: Pool;
  readonly #shares: PooledShares;
  /** Names of parts that have changed and were not asked for since. */
  readonly #changed = new Set<string>();
  #foldings = 0;

  constructor(options: Partial<BanditOptions> = {}) {
    this.options = checked({ ...DEFAULT_BANDIT, ...options });
    this.#pool = new Pool(new TimeFrame(this.options.halfLifeMs), this.options);
    this.#shares = new PooledShares(this.options.shareHalfLifeMs, this.options.maxArms);
  }

  /** @throws Fault INVALID_REQUEST, naming each field that is out of its bounds */
  static restore(snapshot: unknown, options: Partial<BanditOptions> = {}): Bandit {
    const bandit = new Bandit(options);
    readSnapshot(snapshot, bandit.#pool.own, bandit.#shares.own);
    return bandit;
  }

  /** Of what was learnt here. */
  snapshot(): Snapshot {
    return writeSnapshot(this.#pool.own, this.#shares.own);
  }

  /** Names of the parts that what was learnt here comes in, for others to heed. */
  get partNames(): string[] {
    const { arms, folded } = this.#pool.own;
    return [
      ...[...arms.keys()].map(nameOfArm),
      ...(folded.size > 0 ? [FOLDED] : []),
      ...(this.#shares.own.counts.size > 0 ? [SHARES] : []),
    ];
  }

  /** @returns undefined where there is none of that name, or none any more */
  part(name: string): Part | undefined {
    return partOf(name, this.#pool.own, this.#shares.own);
  }

  /** @returns names of parts that were learnt of since this was asked last */
  takeChanges(): string[] {
    const names = [...this.#changed];
    this.#changed.clear();
    return names;
  }

  /**
   * Takes what another has learnt, in place of what it had said of the same part.
   * @param part undefined: nothing any more @param now in ms, wall clock
   * @returns false where it is no part, or is of a time that has not come, or there is no room
   */
  heed(by: string, name: string, part: unknown, now: number): boolean {
    if (part === undefined) return this.#forget(by, name, now);
    const read = readPart(name, part, this.options, now);
    if (!read) return false;
    if (read.kind === 'shares') this.#shares.heed(by, read.shares);
    else if (read.kind === 'folded') this.#pool.heedFolded(by, read, now);
    else return this.#pool.heedArm(by, read.arm.model, read, now);
    return true;
  }

  #forget(by: string, name: string, now: number): boolean {
    const kind = kindOf(name);
    if (kind === 'shares') this.#shares.heed(by, undefined);
    else if (kind === 'folded') this.#pool.heedFolded(by, undefined, now);
    else if (kind) return this.#pool.heedArm(by, kind.model, undefined, now);
    return kind !== undefined;
  }

  belief(arm: Arm, context: Context, prior: number, now: number): Belief {
    const { mean, variance } = this.#residual(arm, context, now);
    const believed = Math.min(1 - EDGE, Math.max(EDGE, prior + mean));
    // No quantity from 0 to 1 with this mean spreads more.
    const most = Math.sqrt(believed * (1 - believed));
    return { mean: believed, sd: Math.max(LEAST_SD, Math.min(most, Math.sqrt(variance))) };
  }

  /**
   * @param prior what was expected when the model was chosen, 0 to 1 @param reward 0 to 1
   * @param weight over 0, up to 1: how much of a full reward this one tells
   * @param at when the answer was given, in ms, wall clock; rewards may come late and in any order
   * @returns to be revised when more is known of the same answer
   */
  learn(arm: Arm, context: Context, prior: number, reward: number, weight: number, at: number): Lesson {
    check('prior', prior, 0, 1);
    check('reward', reward, 0, 1);
    check('weight', weight, Number.MIN_VALUE, 1);
    check('at', at, 0, Number.MAX_SAFE_INTEGER);
    const lesson = this.#pool.learn(arm, context, prior, reward, weight, at);
    this.#taught(lesson);
    return lesson;
  }

  /** Takes a lesson back. Once only, and only one that this object gave. */
  unlearn(lesson: Lesson): void {
    this.#pool.unlearn(lesson);
    this.#taught(lesson);
  }

  #taught({ arm }: Lesson): void {
    const { own } = this.#pool;
    this.#changed.add(own.arms.has(arm.model) ? nameOfArm(arm.model) : FOLDED);
    if (own.foldings === this.#foldings) return;
    this.#foldings = own.foldings;
    for (const name of [...this.partNames, ...this.#changed, FOLDED]) this.#changed.add(name);
  }

  /** What is known now of an answer takes the place of what was. */
  revise(lesson: Lesson, reward: number, weight: number): Lesson {
    this.unlearn(lesson);
    const { arm, context, prior, at } = lesson;
    return this.learn(arm, context, prior, reward, weight, at);
  }

  /** The arm was given a request of this context. */
  served(arm: Arm, context: Context, now: number): void {
    this.#shares.served(arm.model, context, now);
    this.#changed.add(SHARES);
  }

  share(arm: Arm, context: Context, now: number): number {
    return this.#shares.share(arm.model, context, now);
  }

  /** Adds what another has learnt and served; the other stays as it is. Half-lives must be the same. */
  merge(other: Bandit): void {
    for (const name of ['halfLifeMs', 'shareHalfLifeMs'] as const) {
      if (this.options[name] !== other.options[name]) {
        throw new RangeError(`${name} must be ${this.options[name]} as here, received ${other.options[name]}`);
      }
    }
    this.#pool.add(other.#pool.own);
    this.#shares.add(other.#shares.own);
    for (const name of other.partNames) this.#changed.add(name);
  }

  #residual(arm: Arm, context: Context, now: number): Posterior {
    const memory = this.#pool.view;
    const known = memory.arms.get(arm.model);
    const worth = memory.frame.worthAt(now);
    const variance = this.options.priorSd ** 2;
    const tier = memory.tier(arm.tier);
    const siblings = known?.tier === arm.tier ? known.total : undefined;
    const general = new Posterior().narrow(tier, siblings, SPREAD.tier * variance, NOISE, worth);
    if (!known) {
      general.variance += (1 - SPREAD.tier) * variance;
      return general;
    }
    known.spreads ??= spreadsOf(known, { axis: SPREAD.axis * variance, context: SPREAD.context * variance });
    const { noise, axis: axisSpread, context: contextSpread } = known.spreads;
    const place = contextPlace(context);
    const leaf = known.contexts.get(place);
    const parents = new Posterior();
    let precision = 0;
    for (const axis of axesOf(place)) {
      const cell = known.axes[axis];
      const parent = new Posterior().copy(general);
      parent.narrow(known.total, cell, SPREAD.arm * variance, noise, worth).follow(known.total, noise, worth);
      parent.narrow(cell, leaf, axisSpread, noise, worth).follow(cell, noise, worth);
      parents.mean += parent.mean / parent.variance;
      precision += 1 / parent.variance;
    }
    // The three share most of their rewards: together they are as sure as one of them, not three times as sure.
    parents.mean /= precision;
    parents.variance = 3 / precision;
    return parents.narrow(leaf, undefined, contextSpread, noise, worth).follow(leaf, noise, worth);
  }
}

function check(name: string, value: number, least: number, most: number): void {
  if (!(value >= least && value <= most)) throw new RangeError(`${name} must be from ${least} to ${most}, received ${value}`);
}

function checked(options: BanditOptions): BanditOptions {
  check('halfLifeMs', options.halfLifeMs, 1, Number.MAX_SAFE_INTEGER);
  check('shareHalfLifeMs', options.shareHalfLifeMs, 1, Number.MAX_SAFE_INTEGER);
  check('priorSd', options.priorSd, 0.001, 0.5);
  check('maxArms', options.maxArms, 1, 1e6);
  check('maxContexts', options.maxContexts, 1, 1e6);
  return options;
}
