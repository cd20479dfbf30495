/** How long a node's model takes to its first token, for whoever wonders whether another node would be faster. Pure. */
import type { Clock } from '../clock.ts';
import { FadingHistogram } from './histogram.ts';
import { PerNode } from './per-node.ts';

/** Fewer tell nothing of a 95th percentile. */
const ENOUGH = 20;
const HALF_LIFE_MS = 10 * 60_000;

export class FirstTokens {
  readonly #clock: Clock;
  readonly #times: PerNode<FadingHistogram>;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#times = new PerNode(() => new FadingHistogram(HALF_LIFE_MS, clock.now()));
  }

  get size(): number {
    return this.#times.size;
  }

  /** @param firstTokenMs from the start of the attempt; of one that was given up, how long it was waited for */
  saw(node: string, model: string, firstTokenMs: number): void {
    this.#times.of(node, model).add(firstTokenMs, this.#clock.now());
  }

  /** Milliseconds from the start of an attempt, or undefined while too few were seen lately. */
  p95(node: string, model: string): number | undefined {
    const times = this.#times.find(node, model);
    if (!times || times.seen < ENOUGH || times.weight(this.#clock.now()) < ENOUGH / 2) return undefined;
    return times.percentile(0.95);
  }

  forget(node: string): void {
    this.#times.forget(node);
  }
}
