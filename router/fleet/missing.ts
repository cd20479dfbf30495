/**
 * Models whose node has just left. A node that restarts is back within seconds: until then its models are known and not
 * served, which is worth another try, rather than unknown.
 */
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Clock } from '../clock.ts';

export const REMEMBER_MS = 10_000;

interface Memory {
  readonly models: readonly ServedModel[];
  readonly until: number;
}

export class Missing {
  readonly #clock: Clock;
  /** By node id; the one that left first stands first. */
  readonly #memories = new Map<string, Memory>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  left(node: string, models: readonly ServedModel[]): void {
    this.#memories.delete(node);
    if (models.length > 0) this.#memories.set(node, { models, until: this.#clock.now() + REMEMBER_MS });
  }

  /** It is here and has said what it serves. */
  back(node: string): void {
    this.#memories.delete(node);
  }

  /** Every model that is remembered, with the node that served it. */
  all(): { readonly node: string; readonly model: ServedModel }[] {
    const now = this.#clock.now();
    for (const [node, { until }] of this.#memories) {
      if (now < until) break;
      this.#memories.delete(node);
    }
    return [...this.#memories].flatMap(([node, { models }]) => models.map((model) => ({ node, model })));
  }
}
