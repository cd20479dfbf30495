/** What a scenario is, and what the command hands it. */
import type { Target } from '../bench/report.ts';

export interface Scale {
  /** Streams, where the scenario has its own number; undefined: the scenario's. */
  readonly streams: number | undefined;
  /** How long the load lasts; undefined: the scenario's. */
  readonly minutes: number | undefined;
}

export interface Findings {
  /** Named so that name and unit are clear without the table. */
  readonly figures: Readonly<Record<string, number>>;
  /** What a reader of the figures has to know. */
  readonly notes?: readonly string[];
  /** Said instead of figures: why it could not run here. */
  readonly skipped?: string;
}

export interface Scenario {
  readonly name: string;
  /** By which the command runs several that belong together. */
  readonly family?: string;
  /** One sentence, beginning with what happens to the mesh. */
  readonly does: string;
  readonly targets: readonly Target[];
  run(scale: Scale): Promise<Findings>;
}

export const durationMs = ({ minutes }: Scale, seconds: number): number =>
  minutes === undefined ? seconds * 1000 : minutes * 60_000;

/** How long an answer takes; in a load that is shorter than that, as long as the load, and 4 s at least. */
export const answerSeconds = (scale: Scale, seconds: number): number =>
  Math.min(seconds, Math.max(4, Math.ceil(durationMs(scale, seconds) / 1000)));
