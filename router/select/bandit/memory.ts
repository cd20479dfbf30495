/**
 * Everything that rewards have taught, in cells: of each arm as a whole, in each domain, complexity and task, and in each
 * full context. Pure. Bounded: what is used least is folded into what it is part of, a context into its arm (which
 * counts it already) and an arm into its tier.
 */
import type { Arm, Context } from '../belief.ts';
import { Cell } from './cell.ts';
import { AXES, axesOf, contextPlace } from './coordinates.ts';
import type { Spreads } from './spreads.ts';
import type { TimeFrame } from './time-frame.ts';

export interface ArmMemory {
  readonly model: string;
  tier: number;
  readonly total: Cell;
  /** By the places of coordinates.ts. */
  readonly axes: (Cell | undefined)[];
  readonly contexts: Map<number, Cell>;
  /** Of these rewards; undefined: to be found again. */
  spreads: Spreads | undefined;
}

/** One reward as it was learnt, so that it can be taken back exactly; only for the memory that gave it. */
export interface Lesson {
  readonly arm: ArmMemory;
  readonly context: Context;
  readonly prior: number;
  readonly residual: number;
  readonly weight: number;
  readonly at: number;
  /** Cells that learnt it, and their marks. */
  readonly cells: readonly (readonly [Cell, mark: number])[];
}

export interface Bounds {
  readonly maxArms: number;
  /** Full contexts of all arms together. */
  readonly maxContexts: number;
}

export class Memory {
  readonly frame: TimeFrame;
  readonly arms = new Map<string, ArmMemory>();
  /** By tier: arms that are no longer kept one by one. */
  readonly folded = new Map<number, Cell>();
  readonly #bounds: Bounds;
  #contexts = 0;
  #foldings = 0;
  /** By tier: sums over its arms; undefined: to be summed again. */
  #tiers: Map<number, Cell> | undefined;

  constructor(frame: TimeFrame, bounds: Bounds) {
    this.frame = frame;
    this.#bounds = bounds;
  }

  get contexts(): number {
    return this.#contexts;
  }

  /** How often something that is used little was folded into what it is part of. */
  get foldings(): number {
    return this.#foldings;
  }

  /** @param others what is learnt of the same elsewhere, in the same frame */
  learn(arm: Arm, context: Context, prior: number, reward: number, weight: number, at: number, others?: Memory): Lesson {
    this.moveTo(Math.floor(at / this.frame.halfLifeMs));
    const known = this.armOf(arm.model, arm.tier);
    const residual = reward - prior;
    const faded = weight * this.frame.weightAt(at);
    const place = contextPlace(context);
    const axes = axesOf(place).map((axis) => this.axisOf(known, axis));
    const elsewhere = others && cellsOf(others.arms.get(arm.model), place);
    const worth = elsewhere ? this.frame.worthAt(at) : 0;
    const cells = [known.total, ...axes, this.contextOf(known, place)].map(
      (cell, i) => [cell, cell.learn(residual, weight, faded, elsewhere?.[i]?.count, worth)] as const,
    );
    known.spreads = undefined;
    this.#tiers = undefined;
    this.#trim();
    return { arm: known, context, prior, residual, weight, at, cells };
  }

  unlearn({ arm, residual, weight, at, cells }: Lesson): void {
    const faded = weight * this.frame.weightAt(at);
    for (const [cell, mark] of cells) cell.unlearn(residual, faded, mark);
    arm.spreads = undefined;
    if (this.arms.get(arm.model) !== arm) {
      const lesson = Cell.of([faded, faded * residual, faded * residual * residual, 0, 0]);
      this.folded.get(arm.tier)?.add(lesson, -1);
    }
    this.#tiers = undefined;
  }

  add(other: Memory): void {
    if (other.frame.reference === Number.NEGATIVE_INFINITY) return;
    this.moveTo(other.frame.reference);
    const scale = 2 ** (other.frame.reference - this.frame.reference);
    for (const theirs of other.arms.values()) {
      const ours = this.armOf(theirs.model, theirs.tier);
      // Where two disagree on a tier, the answer must not depend on who is asked first.
      ours.tier = Math.max(ours.tier, theirs.tier);
      ours.spreads = undefined;
      ours.total.add(theirs.total, scale);
      for (const [place, cell] of theirs.axes.entries()) if (cell) this.axisOf(ours, place).add(cell, scale);
      for (const [place, cell] of theirs.contexts) this.contextOf(ours, place).add(cell, scale);
    }
    for (const [tier, cell] of other.folded) this.foldedOf(tier).add(cell, scale);
    this.#tiers = undefined;
    this.#trim();
  }

  tier(tier: number): Cell | undefined {
    this.#tiers ??= this.#sumTiers();
    return this.#tiers.get(tier);
  }

  armOf(model: string, tier: number): ArmMemory {
    let arm = this.arms.get(model);
    if (!arm) {
      arm = {
        model,
        tier,
        total: new Cell(),
        axes: new Array<Cell | undefined>(AXES).fill(undefined),
        contexts: new Map(),
        spreads: undefined,
      };
      this.arms.set(model, arm);
    }
    return arm;
  }

  axisOf(arm: ArmMemory, place: number): Cell {
    const cell = arm.axes[place] ?? new Cell();
    arm.axes[place] = cell;
    return cell;
  }

  contextOf(arm: ArmMemory, place: number): Cell {
    const known = arm.contexts.get(place);
    if (known) return known;
    const cell = new Cell();
    arm.contexts.set(place, cell);
    this.#contexts++;
    return cell;
  }

  foldedOf(tier: number): Cell {
    return cellOf(this.folded, tier);
  }

  /** Its cells were changed from outside. */
  changed(arm: ArmMemory | undefined): void {
    if (arm) arm.spreads = undefined;
    this.#tiers = undefined;
  }

  forget(model: string): void {
    this.#contexts -= this.arms.get(model)?.contexts.size ?? 0;
    this.arms.delete(model);
    this.#tiers = undefined;
  }

  *#cells(): Generator<Cell> {
    yield* this.folded.values();
    for (const arm of this.arms.values()) {
      yield arm.total;
      for (const cell of arm.axes) if (cell) yield cell;
      yield* arm.contexts.values();
    }
  }

  /** Moves the frame on, if it is behind. */
  moveTo(reference: number): void {
    const factor = this.frame.moveToReference(reference);
    if (factor === 1) return;
    for (const cell of this.#cells()) cell.scale(factor);
    for (const arm of this.arms.values()) arm.spreads = undefined;
    this.#tiers = undefined;
  }

  #sumTiers(): Map<number, Cell> {
    const tiers = new Map<number, Cell>();
    for (const [tier, cell] of this.folded) cellOf(tiers, tier).add(cell);
    for (const { tier, total } of this.arms.values()) cellOf(tiers, tier).add(total);
    return tiers;
  }

  /** An eighth at once, so that a full memory does not look for the least used at every reward. */
  #trim(): void {
    const { maxArms, maxContexts } = this.#bounds;
    if (this.arms.size > maxArms) {
      const least = [...this.arms.values()].toSorted((a, b) => a.total.count - b.total.count);
      for (const arm of least.slice(0, this.arms.size - Math.floor((maxArms * 7) / 8))) {
        this.foldedOf(arm.tier).add(arm.total);
        this.arms.delete(arm.model);
        this.#contexts -= arm.contexts.size;
      }
      this.#tiers = undefined;
      this.#foldings++;
    }
    if (this.#contexts > maxContexts) {
      this.#foldings++;
      const all = [...this.arms.values()].flatMap((arm) => [...arm.contexts].map(([place, cell]) => ({ arm, place, cell })));
      const least = all.toSorted((a, b) => a.cell.count - b.cell.count);
      for (const { arm, place } of least.slice(0, this.#contexts - Math.floor((maxContexts * 7) / 8))) {
        arm.contexts.delete(place);
        this.#contexts--;
      }
    }
  }
}

/** Those that one reward teaches: of the arm, of the context's domain, complexity and task, of the context. */
export function cellsOf(arm: ArmMemory | undefined, place: number): (Cell | undefined)[] {
  return [arm?.total, ...axesOf(place).map((axis) => arm?.axes[axis]), arm?.contexts.get(place)];
}

function cellOf(cells: Map<number, Cell>, key: number): Cell {
  const cell = cells.get(key) ?? new Cell();
  cells.set(key, cell);
  return cell;
}
