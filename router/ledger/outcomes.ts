/**
 * What became of past choices, and what is learnt from it. Pure: time comes with each call.
 *
 * A request is served, ends, and may then be rated, more than once and late; or the same prompt comes again, which tells
 * that the answer did not do. Each time, all that is known of the answer is made into one reward, and the lesson of the
 * last one is replaced. Requests are remembered for a day, the latest 100,000; of a prompt only a number is kept.
 */
import { Fault } from '../../proto/contract/faults.ts';
import type { Arm, Context } from '../select/belief.ts';
import type { LogEntry, LoggedOutcome } from './decision-entry.ts';
import { LOG_VERSION } from './decision-entry.ts';
import type { LoggedChoice } from './logged-choice.ts';
import type { ModelShares } from './shares.ts';

const DAY_MS = 86_400_000;

export interface Reward {
  /** 0 to 1. */
  readonly reward: number;
  /** 0 to 1: how much it tells. */
  readonly weight: number;
}

/** What ratings say, each 0 to 1. */
export interface Ratings {
  readonly rating?: number | undefined;
  readonly groundedness?: number | undefined;
  readonly recall?: number | undefined;
  readonly readability?: number | undefined;
}

/** Who learns; a lesson is what it wants back to revise it. See select/bandit/. */
export interface Learner<Lesson> {
  learn(arm: Arm, context: Context, prior: number, reward: number, weight: number, at: number): Lesson;
  revise(lesson: Lesson, reward: number, weight: number): Lesson;
  served(arm: Arm, context: Context, now: number): void;
}

export interface OutcomesParts<Evidence, Lesson> {
  readonly learner: Learner<Lesson>;
  /** `evidence` is undefined while the answer has not ended. */
  readonly rewardOf: (evidence: Evidence | undefined, ratings: Ratings, retried: boolean) => Reward | undefined;
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
  /** Keyed hash of tenant and messages; equal for the same prompt. */
  readonly promptHash: number;
  /** Undefined where the caller named the model: nothing was chosen, and nothing is logged or counted as a choice. */
  readonly choice: LoggedChoice | undefined;
}

export type Outcome = Omit<LoggedOutcome, 'reward' | 'rewardWeight'>;

interface Memory<Evidence, Lesson> {
  /** Its choice is let go once it is logged. */
  readonly served: Omit<Served, 'choice'>;
  choice: LoggedChoice | undefined;
  readonly at: number;
  readonly chosen: boolean;
  finish: Outcome['finish'] | undefined;
  evidence: Evidence | undefined;
  ratings: Ratings;
  retried: boolean;
  reward: Reward | undefined;
  lesson: Lesson | undefined;
}

export class Outcomes<Evidence, Lesson> {
  readonly #parts: Required<OutcomesParts<Evidence, Lesson>>;
  /** Oldest first. */
  readonly #requests = new Map<string, Memory<Evidence, Lesson>>();
  /** By hash of the prompt: its last request. Oldest first. */
  readonly #prompts = new Map<number, { readonly request: string; readonly at: number }>();

  constructor(parts: OutcomesParts<Evidence, Lesson>) {
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
      evidence: undefined,
      ratings: {},
      retried: false,
      reward: undefined,
      lesson: undefined,
    });
    this.#forget(now);
  }

  /** @param evidence for the reward function; one request ends once */
  ended(request: string, outcome: Outcome, evidence: Evidence): void {
    const memory = this.#requests.get(request);
    if (!memory || memory.finish !== undefined) return;
    const { shares, log } = this.#parts;
    memory.finish = outcome.finish;
    memory.evidence = evidence;
    this.#credit(memory);
    const { arm, tenant } = memory.served;
    if (memory.chosen && isComplete(outcome.finish)) shares.finished(arm, outcome, outcome.costUsd, outcome.referenceUsd);
    if (memory.choice) {
      const credited = memory.reward ? { reward: memory.reward.reward, rewardWeight: memory.reward.weight } : {};
      const at = new Date(memory.at).toISOString();
      const who = { request, ...(tenant === undefined ? {} : { tenant }) };
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
    memory.ratings = { ...memory.ratings, ...given(ratings) };
    this.#parts.shares.rated();
    this.#credit(memory);
    this.#logFeedback(memory, 'rating', now);
    return memory.reward?.reward ?? 0;
  }

  #noticeRetry({ promptHash, request }: Omit<Served, 'choice'>, now: number): void {
    const last = this.#prompts.get(promptHash);
    this.#prompts.delete(promptHash);
    this.#prompts.set(promptHash, { request, at: now });
    const memory = last && now - last.at < this.#parts.retryMs ? this.#requests.get(last.request) : undefined;
    // Who got no whole answer asks again for that reason.
    if (!memory || memory.retried || !isComplete(memory.finish)) return;
    memory.retried = true;
    this.#credit(memory);
    this.#logFeedback(memory, 'retry', now);
  }

  /** Makes all that is known of an answer into its reward, in place of the one it had. */
  #credit(memory: Memory<Evidence, Lesson>): void {
    const { learner, rewardOf, shares } = this.#parts;
    const { served, evidence, ratings, retried, lesson, reward: before, at } = memory;
    const credited = rewardOf(evidence, ratings, retried);
    if (!credited || credited.weight <= 0) return;
    const { reward, weight } = credited;
    memory.reward = credited;
    memory.lesson =
      lesson === undefined
        ? learner.learn(served.arm, served.context, served.prior, reward, weight, at)
        : learner.revise(lesson, reward, weight);
    if (memory.chosen) shares.rewarded(served.arm, reward, before?.reward);
  }

  /** Before the end the decision's own line will tell. */
  #logFeedback({ served, chosen, finish, reward }: Memory<Evidence, Lesson>, cause: 'rating' | 'retry', now: number): void {
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
      reward: reward.reward,
      rewardWeight: reward.weight,
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

function isComplete(finish: Outcome['finish'] | undefined): boolean {
  return finish === 'stop' || finish === 'stop_string' || finish === 'length';
}

function given(ratings: Ratings): Ratings {
  return Object.fromEntries(Object.entries(ratings).filter(([, value]) => value !== undefined));
}
