/**
 * What became of past choices, and what is learnt from it. Pure: time comes with each call.
 *
 * A request is served, ends, and may then be rated, more than once and late; or the same prompt comes again, which tells
 * that the answer did not do. Each time, all that is known of the answer is made into one reward, and the lesson of the
 * last one is replaced. Requests are remembered for a day, the latest 100,000; of a prompt only a number is kept.
 */
import { Fault } from '../../proto/contract/faults.ts';
import type { Arm, Context } from '../select/belief.ts';
import type { FeedbackEntry, LogEntry, LoggedOutcome } from './decision-entry.ts';
import { LOG_VERSION } from './decision-entry.ts';
import type { LoggedChoice } from './logged-choice.ts';
import type { Outcome as Known, Reward, RewardWeights } from './reward.ts';
import { rewardOf } from './reward.ts';
import type { ModelShares } from './shares.ts';

const DAY_MS = 86_400_000;

/** What readers say, each 0 to 1. */
export type Ratings = Pick<Known, 'rating' | 'groundedness' | 'recall' | 'readability'>;

/** Who learns; a lesson is what it wants back to revise it. See select/bandit/. */
export interface Learner<Lesson> {
  learn(arm: Arm, context: Context, prior: number, reward: number, weight: number, at: number): Lesson;
  revise(lesson: Lesson, reward: number, weight: number): Lesson;
  served(arm: Arm, context: Context, now: number): void;
}

export interface OutcomesParts<Lesson> {
  readonly learner: Learner<Lesson>;
  readonly weights: RewardWeights;
  readonly shares: ModelShares;
  /** Takes the lines of the decision log; never throws. */
  readonly log: (entry: LogEntry) => void;
  readonly maxRequests?: number;
  readonly keepMs?: number;
  /** So soon the same prompt counts as a retry. */
  readonly retryMs?: number;
}

/** A request that a model was found for. */
export interface Served {
  readonly request: string;
  readonly tenant: string | undefined;
  readonly arm: Arm;
  readonly context: Context;
  /** What was expected of the arm before any reward, 0 to 1. */
  readonly prior: number;
  /** What was believed of the answer, 0 to 1, and when it was to be whole, as estimated. */
  readonly expected: number;
  readonly promisedMs: number;
  /** Keyed hash, equal where the same prompt from the same hands is a retry; undefined where that can't be told. */
  readonly promptHash: number | undefined;
  /** Undefined where the caller named the model: nothing was chosen, and nothing is logged or counted as a choice. */
  readonly choice: LoggedChoice | undefined;
}

export type Outcome = Omit<LoggedOutcome, 'reward' | 'rewardWeight' | 'rewardParts'>;

/** What the answer itself shows. */
export type Signs = Pick<Known, 'schemaValid' | 'refused'>;

interface Memory<Lesson> {
  readonly served: Omit<Served, 'choice'>;
  /** Let go once it is logged. */
  choice: LoggedChoice | undefined;
  readonly at: number;
  readonly chosen: boolean;
  finish: Outcome['finish'] | undefined;
  known: Known;
  reward: Reward | undefined;
  lesson: Lesson | undefined;
}

export class Outcomes<Lesson> {
  readonly #parts: Required<OutcomesParts<Lesson>>;
  /** Oldest first. */
  readonly #requests = new Map<string, Memory<Lesson>>();
  /** By hash of the prompt: its last request. Oldest first. */
  readonly #prompts = new Map<number, { readonly request: string; readonly at: number }>();

  constructor(parts: OutcomesParts<Lesson>) {
    this.#parts = { maxRequests: 100_000, keepMs: DAY_MS, retryMs: 600_000, ...parts };
  }

  /** Requests that could be rated now. */
  get remembered(): number {
    return this.#requests.size;
  }

  /** @param now in ms, wall clock */
  served({ choice, ...served }: Served, now: number): void {
    this.#noticeRetry(served, now);
    const { learner, shares } = this.#parts;
    learner.served(served.arm, served.context, now);
    if (choice) shares.chosen(served.arm, served.context.complexity, choice.explored);
    this.#requests.set(served.request, {
      served,
      choice,
      at: now,
      chosen: choice !== undefined,
      finish: undefined,
      known: { expected: served.expected, promisedMs: served.promisedMs },
      reward: undefined,
      lesson: undefined,
    });
    this.#forget(now);
  }

  /** One request ends once. */
  ended(request: string, outcome: Outcome, signs: Signs = {}): void {
    const memory = this.#requests.get(request);
    if (!memory || memory.finish !== undefined) return;
    const { shares, log } = this.#parts;
    const { arm, tenant } = memory.served;
    memory.finish = outcome.finish;
    memory.known = { ...memory.known, ...signs, ...shownBy(outcome) };
    this.#credit(memory);
    if (memory.chosen) {
      if (isComplete(outcome.finish)) shares.finished(arm, outcome, outcome.costUsd, outcome.referenceUsd);
      else shares.brokenOff(arm, outcome.costUsd);
    }
    if (memory.choice) {
      const at = new Date(memory.at).toISOString();
      const who = { request, ...(tenant === undefined ? {} : { tenant }) };
      const credited = memory.reward ? loggedReward(memory.reward) : {};
      log({ v: LOG_VERSION, type: 'decision', at, ...who, ...memory.choice, outcome: { ...outcome, ...credited } });
    }
    memory.choice = undefined;
  }

  /**
   * Later figures replace earlier ones of the same name.
   * @returns the reward that the answer is now credited with, 0 to 1; 0 where the rewards' weights ignore what is known
   * @throws Fault REQUEST_UNKNOWN for one that is not remembered
   */
  feedback(request: string, ratings: Ratings, now: number): number {
    this.#forget(now);
    const memory = this.#requests.get(request);
    if (!memory) throw new Fault('REQUEST_UNKNOWN', 'this router does not remember the request; it may be too long ago');
    memory.known = { ...memory.known, ...given(ratings) };
    this.#parts.shares.rated();
    this.#credit(memory);
    this.#logFeedback(memory, 'rating', now);
    return memory.reward?.reward ?? 0;
  }

  #noticeRetry({ promptHash, request }: Omit<Served, 'choice'>, now: number): void {
    if (promptHash === undefined) return;
    const last = this.#prompts.get(promptHash);
    this.#prompts.delete(promptHash);
    this.#prompts.set(promptHash, { request, at: now });
    const memory = last && now - last.at < this.#parts.retryMs ? this.#requests.get(last.request) : undefined;
    // Who got no whole answer asks again for that reason.
    if (!memory || memory.known.retried || !isComplete(memory.finish)) return;
    memory.known = { ...memory.known, retried: true };
    this.#credit(memory);
    this.#logFeedback(memory, 'retry', now);
  }

  /** Makes all that is known of an answer into its reward, in place of the one it had. */
  #credit(memory: Memory<Lesson>): void {
    const { learner, weights, shares } = this.#parts;
    const { served, known, lesson, reward: before, at } = memory;
    const credited = rewardOf(known, weights);
    if (!credited) return;
    const { reward, weight } = credited;
    memory.reward = credited;
    memory.lesson =
      lesson === undefined
        ? learner.learn(served.arm, served.context, served.prior, reward, weight, at)
        : learner.revise(lesson, reward, weight);
    if (memory.chosen) shares.rewarded(served.arm, reward, before?.reward);
  }

  /** Before the end the decision's own line will tell. */
  #logFeedback({ served, chosen, finish, reward }: Memory<Lesson>, cause: FeedbackEntry['cause'], now: number): void {
    if (!chosen || finish === undefined || !reward) return;
    const { request, tenant, arm } = served;
    this.#parts.log({
      v: LOG_VERSION,
      type: 'feedback',
      at: new Date(now).toISOString(),
      request,
      ...(tenant === undefined ? {} : { tenant }),
      model: arm.model,
      cause,
      ...loggedReward(reward),
    });
  }

  #forget(now: number): void {
    const { maxRequests, keepMs, retryMs } = this.#parts;
    for (const [request, { at }] of this.#requests) {
      if (now - at < keepMs && this.#requests.size <= maxRequests) break;
      this.#requests.delete(request);
    }
    for (const [hash, { at }] of this.#prompts) {
      if (now - at < retryMs && this.#prompts.size <= maxRequests) break;
      this.#prompts.delete(hash);
    }
  }
}

/** A node that was lost and a caller who left say nothing of the answer; an engine that failed on it does. */
function shownBy({ finish, fault, latencyMs }: Outcome): Pick<Known, 'finish' | 'latencyMs'> {
  if (finish === 'cancelled') return {};
  if (finish === 'failed') return fault === 'ENGINE_FAILED' || fault === 'ENGINE_CRASHED' ? { finish } : {};
  return { finish: finish === 'length' ? 'length' : 'stop', latencyMs };
}

function loggedReward({ reward, weight, parts }: Reward) {
  return { reward, rewardWeight: weight, rewardParts: parts as Record<string, number> };
}

function isComplete(finish: Outcome['finish'] | undefined): boolean {
  return finish === 'stop' || finish === 'stop_string' || finish === 'length';
}

function given(ratings: Ratings): Ratings {
  return Object.fromEntries(Object.entries(ratings).filter(([, value]) => value !== undefined));
}
