/**
 * How long an attempt's first token is waited for. Pure.
 *
 * Simple prompts begin with 10 s, moderate ones with 30 s, complex ones with 60 s. Once enough first tokens of a model
 * were seen for that complexity, it is twice their 99th percentile, from 2 s to 120 s. It is never less than twice what
 * the measured rates make of this very prompt on this very node, so a long prompt or a long queue is not taken for a
 * failure.
 */
import { MAX_DEADLINE_MS } from '../../proto/transport/deadline.ts';
import type { Complexity } from '../classify/classification.ts';
import type { Clock } from '../clock.ts';
import { FadingHistogram } from './histogram.ts';

const START_MS: Readonly<Record<Complexity, number>> = { simple: 10_000, moderate: 30_000, complex: 60_000 };
const LEAST_MS = 2000;
const MOST_MS = 120_000;
/** Of the 99th percentile, and of what this attempt was expected to take. */
const HEADROOM = 2;
/** Fewer tell nothing of a 99th percentile. */
const ENOUGH = 20;
const HALF_LIFE_MS = 30 * 60_000;
/** Pairs of a model and a complexity that are remembered, 700 bytes each; the one that was seen longest ago goes first. */
const REMEMBERED = 3000;

export interface Awaited {
  readonly model: string;
  readonly complexity: Complexity;
  /** From the start of the attempt: the node's wait and the reading of the prompt, by the measured rates. */
  readonly expectedFirstTokenMs: number;
}

export interface Seen {
  readonly model: string;
  readonly complexity: Complexity;
  /** From the start of the attempt. */
  readonly firstTokenMs: number;
}

export class Patience {
  readonly #clock: Clock;
  /** The one that was seen last stands last. */
  readonly #seen = new Map<string, FadingHistogram>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Pairs of a model and a complexity that are remembered. */
  get size(): number {
    return this.#seen.size;
  }

  /** Milliseconds from the start of the attempt. */
  firstTokenMs({ model, complexity, expectedFirstTokenMs }: Awaited): number {
    const usual = this.#learnt(model, complexity) ?? START_MS[complexity];
    return Math.min(MAX_DEADLINE_MS, Math.max(usual, HEADROOM * expectedFirstTokenMs));
  }

  /**
   * A first token came. An attempt that was given up counts too, with the time it was waited for: a model that has become
   * slower would else never be seen to have.
   */
  saw({ model, complexity, firstTokenMs }: Seen): void {
    const key = keyOf(model, complexity);
    const now = this.#clock.now();
    const times = this.#seen.get(key) ?? new FadingHistogram(HALF_LIFE_MS, now);
    times.add(firstTokenMs, now);
    this.#seen.delete(key);
    this.#seen.set(key, times);
    if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.keys().next().value as string);
  }

  #learnt(model: string, complexity: Complexity): number | undefined {
    const times = this.#seen.get(keyOf(model, complexity));
    if (!times || times.seen < ENOUGH || times.weight(this.#clock.now()) < ENOUGH / 2) return undefined;
    return Math.min(MOST_MS, Math.max(LEAST_MS, HEADROOM * (times.percentile(0.99) as number)));
  }
}

/** No complexity has a space, so no two pairs meet. */
function keyOf(model: string, complexity: Complexity): string {
  return `${complexity} ${model}`;
}
