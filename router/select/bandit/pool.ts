/**
 * What this router has learnt, what others have, and both together. Pure.
 *
 * The own memory is never mixed with anything, so that a lesson of its own can be taken back exactly. Of every other
 * contributor the latest is kept for each arm in place of the one before: hearing of it twice, late or in another order
 * comes to the same. Beliefs are read from the view, which is always the sum of all; a lesson brings five cells of it up
 * to date, and news of an arm that arm.
 */
import type { Arm, Context } from '../belief.ts';
import type { Cell, CellPart } from './cell.ts';
import { AXES, axesOf, contextPlace } from './coordinates.ts';
import type { ArmMemory, Bounds, Lesson } from './memory.ts';
import { cellsOf, Memory } from './memory.ts';
import { TimeFrame } from './time-frame.ts';

/** What one contributor has learnt of an arm; the arm's cells refer to `reference`, in half-lives since 1970. */
export interface ArmContribution {
  readonly reference: number;
  readonly arm: ArmMemory;
}

/** Of arms that a contributor no longer keeps one by one, by tier. */
export interface FoldedContribution {
  readonly reference: number;
  readonly tiers: ReadonlyMap<number, Cell>;
}

export class Pool {
  readonly own: Memory;
  readonly #bounds: Bounds;
  /** By model, by contributor. */
  readonly #arms = new Map<string, Map<string, ArmContribution>>();
  readonly #folded = new Map<string, FoldedContribution>();
  /** Undefined until there are others. */
  #others: Memory | undefined;
  #view: Memory;
  #foldings = 0;

  constructor(frame: TimeFrame, bounds: Bounds) {
    this.#bounds = bounds;
    this.own = new Memory(frame, bounds);
    this.#view = this.own;
  }

  /** Own and others'; for reading only. */
  get view(): Memory {
    return this.#view;
  }

  learn(arm: Arm, context: Context, prior: number, reward: number, weight: number, at: number): Lesson {
    if (this.#others) this.#align(Math.floor(at / this.own.frame.halfLifeMs));
    const lesson = this.own.learn(arm, context, prior, reward, weight, at, this.#others);
    this.#taught(lesson);
    return lesson;
  }

  unlearn(lesson: Lesson): void {
    this.own.unlearn(lesson);
    this.#taught(lesson);
  }

  /** What another has learnt becomes the own. */
  add(other: Memory): void {
    this.own.add(other);
    this.renew(this.own.frame.reference * this.own.frame.halfLifeMs);
  }

  /**
   * @param by who has learnt it @param contribution undefined: nothing any more @param now in ms, wall clock
   * @returns false where there is no room for another arm
   */
  heedArm(by: string, model: string, contribution: ArmContribution | undefined, now: number): boolean {
    const known = this.#arms.get(model) ?? new Map<string, ArmContribution>();
    if (contribution) {
      if (!this.#view.arms.has(model) && this.#view.arms.size >= this.#bounds.maxArms) return false;
      this.#arms.set(model, known);
      known.set(by, contribution);
      this.#open(contribution.reference, now);
    } else {
      known.delete(by);
      if (known.size === 0) this.#arms.delete(model);
    }
    this.#renewArm(model, now);
    return true;
  }

  /** @param contribution undefined: nothing any more */
  heedFolded(by: string, contribution: FoldedContribution | undefined, now: number): void {
    if (contribution) {
      this.#folded.set(by, contribution);
      this.#open(contribution.reference, now);
    } else this.#folded.delete(by);
    this.#renewFolded();
  }

  /** Brings all of the view up to date. @param now in ms, wall clock */
  renew(now: number): void {
    if (!this.#others) return;
    this.#align(this.own.frame.reference);
    for (const model of new Set([...this.#view.arms.keys(), ...this.own.arms.keys(), ...this.#arms.keys()])) {
      this.#renewArm(model, now);
    }
    this.#renewFolded();
  }

  /** From now on there are others: the view is no longer the own memory. */
  #open(reference: number, now: number): void {
    if (this.#others) return this.#align(reference);
    const { halfLifeMs } = this.own.frame;
    // Bounded by the number of arms; what an arm may have of contexts is bounded by their names.
    const bounds = { maxArms: Number.POSITIVE_INFINITY, maxContexts: Number.POSITIVE_INFINITY };
    this.#others = new Memory(new TimeFrame(halfLifeMs), bounds);
    this.#view = new Memory(new TimeFrame(halfLifeMs), bounds);
    this.#align(reference);
    this.renew(now);
  }

  /** All three memories in one frame, the latest, so that their cells add as they are. */
  #align(reference: number): void {
    const memories = [this.own, this.#others as Memory, this.#view];
    const latest = Math.max(reference, ...memories.map(({ frame }) => frame.reference));
    if (latest !== Number.NEGATIVE_INFINITY) for (const memory of memories) memory.moveTo(latest);
  }

  #taught({ arm, context, at }: Lesson): void {
    if (!this.#others) return;
    if (this.own.foldings !== this.#foldings) {
      this.#foldings = this.own.foldings;
      return this.renew(at);
    }
    const own = this.own.arms.get(arm.model);
    // It was folded before the lesson was taken back.
    if (!own) return this.#renewFolded();
    const place = contextPlace(context);
    const seen = this.#view.armOf(own.model, own.tier);
    const worth = this.#view.frame.worthAt(at);
    const others = cellsOf(this.#others.arms.get(own.model), place);
    for (const axis of axesOf(place)) this.#view.axisOf(seen, axis);
    if (own.contexts.has(place)) this.#view.contextOf(seen, place);
    const views = cellsOf(seen, place);
    for (const [i, cell] of cellsOf(own, place).entries()) if (cell) views[i]?.become(partsOf(cell, others[i]), worth);
    this.#view.changed(seen);
  }

  #renewArm(model: string, now: number): void {
    if (!this.#others) return;
    const own = this.own.arms.get(model);
    const all = this.#contributionsTo(model);
    this.#others.forget(model);
    this.#view.forget(model);
    if (!own && all.length === 0) return;
    const worth = this.#view.frame.worthAt(now);
    // Where they disagree on a tier, the answer must not depend on who is asked first.
    const tier = Math.max(...(own ? [own.tier] : []), ...all.map(({ arm }) => arm.tier));
    const [others, view] = [this.#others.armOf(model, tier), this.#view.armOf(model, tier)];
    const put = (of: (arm: ArmMemory) => Cell | undefined, inOthers: () => Cell, inView: () => Cell) => {
      const parts = all.flatMap(({ arm, scale }) => partOf(of(arm), scale));
      const mine = own && of(own);
      const sum = parts.length > 0 ? inOthers() : undefined;
      sum?.become(parts, worth, mine?.count ?? 0);
      if (mine || sum) inView().become(partsOf(mine, sum), worth);
    };
    put(
      ({ total }) => total,
      () => others.total,
      () => view.total,
    );
    for (let axis = 0; axis < AXES; axis++) {
      put(
        ({ axes }) => axes[axis],
        () => (this.#others as Memory).axisOf(others, axis),
        () => this.#view.axisOf(view, axis),
      );
    }
    for (const place of new Set([...(own?.contexts.keys() ?? []), ...all.flatMap(({ arm }) => [...arm.contexts.keys()])])) {
      put(
        ({ contexts }) => contexts.get(place),
        () => (this.#others as Memory).contextOf(others, place),
        () => this.#view.contextOf(view, place),
      );
    }
    this.#view.changed(view);
  }

  /** By who made them, so that the order in which they came leaves no trace, not even in the last digit. */
  #contributionsTo(model: string): { readonly arm: ArmMemory; readonly scale: number }[] {
    return [...(this.#arms.get(model) ?? [])]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([, { arm, reference }]) => ({ arm, scale: this.#scaleOf(reference) }));
  }

  #renewFolded(): void {
    const tiers = this.#view.folded;
    if (!this.#others) return;
    tiers.clear();
    for (const [tier, cell] of this.own.folded) this.#view.foldedOf(tier).add(cell);
    for (const [, { tiers: theirs, reference }] of [...this.#folded].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      for (const [tier, cell] of theirs) this.#view.foldedOf(tier).add(cell, this.#scaleOf(reference));
    }
    this.#view.changed(undefined);
  }

  #scaleOf(reference: number): number {
    return 2 ** (reference - this.#view.frame.reference);
  }
}

function partOf(cell: Cell | undefined, scale = 1): CellPart[] {
  return cell ? [{ cell, scale }] : [];
}

function partsOf(own: Cell | undefined, others: Cell | undefined): CellPart[] {
  return [...partOf(own), ...partOf(others)];
}
