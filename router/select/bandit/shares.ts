/**
 * How much of the like requests each arm got lately: counts that fade with time, and add. Pure. A context with few
 * requests borrows from all of them.
 */
import type { Context } from '../belief.ts';
import { contextPlace } from './coordinates.ts';
import type { TimeFrame } from './time-frame.ts';

/** So many requests of the whole traffic count beside a context's own. */
const BORROWED = 4;
/** The place of the whole traffic, beside those of contexts. */
export const ALL = -1;

export class Shares {
  readonly frame: TimeFrame;
  /** By place: by model, what it got. */
  readonly counts = new Map<number, Map<string, number>>();
  readonly #maxModels: number;

  constructor(frame: TimeFrame, maxModels: number) {
    this.frame = frame;
    this.#maxModels = maxModels;
  }

  served(model: string, context: Context, now: number): void {
    this.#moveTo(Math.floor(now / this.frame.halfLifeMs));
    const weight = this.frame.weightAt(now);
    this.count(ALL, model, weight);
    this.count(contextPlace(context), model, weight);
    this.#trim();
  }

  /** 0 to 1; 0 when nothing has been served. */
  share(model: string, context: Context, now: number): number {
    const worth = this.frame.worthAt(now);
    const overall = shareIn(this.counts.get(ALL), model);
    if (overall.total * worth < 1e-6) return 0;
    const like = shareIn(this.counts.get(contextPlace(context)), model);
    return (like.own * worth + (BORROWED * overall.own) / overall.total) / (like.total * worth + BORROWED);
  }

  add(other: Shares): void {
    if (other.frame.reference === Number.NEGATIVE_INFINITY) return;
    this.#moveTo(other.frame.reference);
    const scale = 2 ** (other.frame.reference - this.frame.reference);
    for (const [place, models] of other.counts) for (const [model, count] of models) this.count(place, model, count * scale);
    this.#trim();
  }

  count(place: number, model: string, weight: number): void {
    const models = this.counts.get(place) ?? new Map<string, number>();
    this.counts.set(place, models);
    models.set(model, (models.get(model) ?? 0) + weight);
  }

  #moveTo(reference: number): void {
    const factor = this.frame.moveToReference(reference);
    if (factor === 1) return;
    for (const models of this.counts.values()) for (const [model, count] of models) models.set(model, count * factor);
  }

  #trim(): void {
    const all = this.counts.get(ALL);
    if (!all || all.size <= this.#maxModels) return;
    const least = [...all].toSorted(([, a], [, b]) => a - b).slice(0, all.size - Math.floor((this.#maxModels * 7) / 8));
    for (const [model] of least) for (const models of this.counts.values()) models.delete(model);
  }
}

function shareIn(models: ReadonlyMap<string, number> | undefined, model: string): { own: number; total: number } {
  let total = 0;
  if (models) for (const count of models.values()) total += count;
  return { own: models?.get(model) ?? 0, total };
}
