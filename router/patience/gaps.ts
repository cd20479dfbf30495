/**
 * How long a node's model may give nothing in the middle of an answer before it counts as stalled. Pure.
 *
 * Nothing is done for a token. Whoever looks at all running attempts once a tick tells of those that gave nothing since
 * the last look, once they give something again, and of all other tokens by their number.
 */
import type { Clock } from '../clock.ts';
import { FadingHistogram } from './histogram.ts';
import { PerNode } from './per-node.ts';

/** How often running attempts are looked at. */
export const TICK_MS = 50;
const LEAST_STALL_MS = 700;
/** However slow a node seems or claims to be. */
const MOST_STALL_MS = 30_000;
const HEADROOM = 8;
/** Fewer tell nothing of a 99th percentile. */
const ENOUGH = 100;
const HALF_LIFE_MS = 5 * 60_000;
/** The percentile of so many buckets is not worth being found anew for each attempt. */
const FRESH_MS = 250;

interface Known {
  readonly gaps: FadingHistogram;
  stallMs: number;
  foundAt: number;
}

export class Gaps {
  readonly #clock: Clock;
  readonly #known: PerNode<Known>;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#known = new PerNode(() => ({
      gaps: new FadingHistogram(HALF_LIFE_MS, clock.now()),
      stallMs: LEAST_STALL_MS,
      foundAt: Number.NEGATIVE_INFINITY,
    }));
  }

  get size(): number {
    return this.#known.size;
  }

  /**
   * An attempt gave a token after so many looks in a row that found nothing new. A silence that was taken for a stall is
   * not told: one node that stops would make all its later stalls be found late.
   * @param silentTicks 1 or more
   */
  saw(node: string, model: string, silentTicks: number): void {
    // Between so many ticks and two more. Regular gaps are seen where a tick happens to fit in, so near the lower bound.
    this.#known.of(node, model).gaps.add((silentTicks + 0.5) * TICK_MS, this.#clock.now());
  }

  /** So many tokens came without a look that found nothing new; each counts as a gap of half a tick. */
  passed(node: string, model: string, tokens: number): void {
    if (tokens > 0) this.#known.of(node, model).gaps.add(TICK_MS / 2, this.#clock.now(), tokens);
  }

  /**
   * The larger of 700 ms and 8 times the 99th percentile of the gaps between tokens.
   * @param expectedGapMs stands for the percentile until enough gaps were seen: by the rates that the node has told
   */
  stallMs(node: string, model: string, expectedGapMs: number): number {
    const known = this.#known.find(node, model);
    const now = this.#clock.now();
    if (!known || known.gaps.seen < ENOUGH || known.gaps.weight(now) < ENOUGH / 2) return stallOf(expectedGapMs);
    if (now - known.foundAt >= FRESH_MS) {
      known.stallMs = stallOf(known.gaps.percentile(0.99) as number);
      known.foundAt = now;
    }
    return known.stallMs;
  }

  forget(node: string): void {
    this.#known.forget(node);
  }
}

function stallOf(gapMs: number): number {
  return Math.min(MOST_STALL_MS, Math.max(LEAST_STALL_MS, HEADROOM * gapMs));
}
