/** What is believed of a model's quality, and what it serves lately. Types only; bandit/ learns it. */
import type { Complexity, Domain, Task } from '../classify/classification.ts';

/** In which a model may be better or worse than elsewhere. */
export interface Context {
  readonly domain: Domain;
  readonly complexity: Complexity;
  readonly task: Task;
}

/** What can be chosen between, wherever it is served. */
export interface Arm {
  readonly model: string;
  /** As in the .proto; a new model borrows from its tier. */
  readonly tier: number;
}

/** Of the reward to expect, 0 to 1. */
export interface Belief {
  readonly mean: number;
  /** Standard deviation of the mean, not of single rewards. */
  readonly sd: number;
}

export interface Beliefs {
  /** @param prior what is expected before any reward has come, 0 to 1 @param now in ms, wall clock */
  belief(arm: Arm, context: Context, prior: number, now: number): Belief;
  /** Share of the like requests that the arm got lately, 0 to 1. */
  share(arm: Arm, context: Context, now: number): number;
}
