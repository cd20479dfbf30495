/**
 * What a node gives up while memory is short, and takes up again. Pure.
 *
 *   over the high mark: unload the idle models, one after the other -> have smaller models preferred here
 *   over the critical mark: -> refuse new work -> unload the last model, too, once it is idle
 *   under the low mark: back again, the last of these first
 *
 * One step at a time, each with time to take effect; over the critical mark there is none to lose, and each look may be
 * a step. Between the low and the high mark everything stays as it is. Only the refusal of new work ends sooner, halfway
 * from the critical to the high mark: a node whose one model fills it beyond the low mark would else never serve again.
 *
 * Memory of GPUs leads to nothing but the unloading of one model of several: what does not fit there fails and is told,
 * and nothing is killed for it.
 */
import { PressureLevel } from '../../proto/gen/infermesh/v1/types.ts';

/** In the order in which they are taken; as reports and events name them. */
const STEPS = ['unload', 'smaller-tier', 'shed'] as const;
export type Step = (typeof STEPS)[number];

/** Shares of the limit, 0 to 1. */
export interface Marks {
  readonly low: number;
  readonly high: number;
  readonly critical: number;
}

export type GpuMemory = 'free' | 'scarce' | 'short';

export interface Look {
  /** Milliseconds, monotonic. */
  readonly at: number;
  /** Of the limit, 0 to 1, or more. */
  readonly use: number;
  /** The share of the last 10 s in which everything stood still for want of memory. */
  readonly stalled: number;
  readonly gpu: GpuMemory;
  /** The last step is still at work: a model is on its way out. */
  readonly acting: boolean;
}

/** Whether an idle model could be unloaded: `some`, and others stay; the `last` one; none. */
export type Idle = 'some' | 'last' | 'none';

export interface IdleModels {
  readonly memory: Idle;
  readonly gpu: Idle;
}

export type Move =
  | { readonly type: 'take'; readonly step: Exclude<Step, 'unload'> }
  /** The largest idle one, by what it takes of that memory. */
  | { readonly type: 'take'; readonly step: 'unload'; readonly of: keyof IdleModels }
  | { readonly type: 'give_back'; readonly step: Step };

export const PACE = {
  /** How long memory is short before the first step, and from one step to the next. */
  settleMs: 3_000,
  /** How long it is free before a step is given back, and from one to the next. */
  calmMs: 10_000,
} as const;

/** Memory below the high mark is short as well when the kernel frees it by taking pages from those who need them. */
const STALLED = 0.1;

export class Pressure {
  readonly #marks: Marks;
  readonly #inForce = new Set<Step>();
  #movedAt = Number.NEGATIVE_INFINITY;
  /** Since when memory has been short, or free enough for the last step to go; undefined: it is not. */
  #shortSince: number | undefined;
  #calmSince: number | undefined;

  constructor(marks: Marks) {
    this.#marks = marks;
  }

  get steps(): readonly Step[] {
    return STEPS.filter((step) => this.#inForce.has(step));
  }

  get level(): PressureLevel {
    if (this.#inForce.has('shed')) return PressureLevel.PRESSURE_LEVEL_CRITICAL;
    return this.#inForce.size > 0 ? PressureLevel.PRESSURE_LEVEL_HIGH : PressureLevel.PRESSURE_LEVEL_NONE;
  }

  /** What to do now; it counts as done. */
  next(look: Look, idle: IdleModels): Move | undefined {
    const { at } = look;
    this.#shortSince = this.#isShort(look) ? (this.#shortSince ?? at) : undefined;
    this.#calmSince = this.#isCalm(look) ? (this.#calmSince ?? at) : undefined;
    const move = this.#step(look, idle) ?? this.#stepBack(look);
    if (!move) return undefined;
    if (move.type === 'take') this.#inForce.add(move.step);
    else this.#inForce.delete(move.step);
    this.#movedAt = at;
    // The step before it may have another mark.
    this.#calmSince = undefined;
    return move;
  }

  #step(look: Look, idle: IdleModels): Move | undefined {
    if (this.#shortSince === undefined) return undefined;
    const isCritical = look.use >= this.#marks.critical;
    const hasSettled = !look.acting && look.at - Math.max(this.#shortSince, this.#movedAt) >= PACE.settleMs;
    if (!hasSettled && !isCritical) return undefined;
    if (!this.#isMemoryShort(look)) return idle.gpu === 'some' ? { type: 'take', step: 'unload', of: 'gpu' } : undefined;
    const sheds = this.#inForce.has('shed');
    if (idle.memory === 'some' || (idle.memory === 'last' && sheds)) return { type: 'take', step: 'unload', of: 'memory' };
    if (!this.#inForce.has('smaller-tier')) return { type: 'take', step: 'smaller-tier' };
    return isCritical && !sheds ? { type: 'take', step: 'shed' } : undefined;
  }

  #stepBack(look: Look): Move | undefined {
    const step = this.steps.at(-1);
    if (step === undefined || this.#calmSince === undefined) return undefined;
    const isDue = look.at - Math.max(this.#calmSince, this.#movedAt) >= PACE.calmMs;
    return isDue ? { type: 'give_back', step } : undefined;
  }

  #isShort(look: Look): boolean {
    return this.#isMemoryShort(look) || look.gpu === 'short';
  }

  #isMemoryShort({ use, stalled }: Look): boolean {
    return use >= this.#marks.high || (stalled >= STALLED && use >= this.#marks.low);
  }

  #isCalm({ use, stalled, gpu }: Look): boolean {
    const { low, high, critical } = this.#marks;
    if (this.#inForce.has('shed')) return use < (high + critical) / 2 && stalled < STALLED;
    return use < low && gpu === 'free';
  }
}
