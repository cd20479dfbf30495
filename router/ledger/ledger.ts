/**
 * What the router knows from its past: what each model's answers were worth, what was spent on trying, who got what and
 * what it cost. A request has an entry here from its choice to its end, and may be rated for a day after.
 */
import { hash } from 'node:crypto';
import type { Fault, Reason } from '../../proto/contract/faults.ts';
import type { Finish } from '../../proto/gen/infermesh/v1/link.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { FinishReason } from '../../proto/gen/infermesh/v1/types.ts';
import type { Kept } from '../attempt/kept.ts';
import type { Classifier } from '../classify/classification.ts';
import type { Clock } from '../clock.ts';
import type { Identified } from '../request.ts';
import type { Bandit } from '../select/bandit/bandit.ts';
import type { Lesson } from '../select/bandit/memory.ts';
import type { Ask, Considered, Decision, Knowledge } from '../select/candidate.ts';
import type { Policy } from '../select/policy.ts';
import { priorQuality } from '../select/prior.ts';
import type { LogEntry } from './decision-entry.ts';
import { ExplorationBudget } from './exploration.ts';
import { choiceOf } from './logged-choice.ts';
import type { Outcome as Ending, Ratings, Signs } from './outcomes.ts';
import { Outcomes } from './outcomes.ts';
import { looksLikeRefusal } from './refusal-wording.ts';
import type { RewardWeights } from './reward.ts';
import { billOf, billOfPart, referenceCost } from './savings.ts';
import type { ShareFigures } from './shares.ts';
import { ModelShares } from './shares.ts';

/** Answers that were given again and may still be rated. */
const MOST_AGAIN = 20_000;

export interface LedgerParts {
  readonly clock: Clock;
  readonly classifier: Classifier;
  readonly bandit: Bandit;
  readonly rewards: RewardWeights;
  /** Of the hashes of prompts, so that they tell nobody anything. */
  readonly key: string;
  /** Takes the lines of the decision log; never throws. */
  readonly log: (entry: LogEntry) => void;
}

/** A choice, and what it was made of. */
export interface Opened {
  readonly decision: Decision;
  readonly chosen: Considered;
  readonly ask: Ask;
}

export interface Answered {
  readonly finish: Finish;
  /** From the request's arrival. */
  readonly latencyMs: number;
  readonly firstTokenMs: number;
  readonly kept: Kept;
}

export interface Bill {
  /** In US dollars. */
  readonly usd: number;
  /** What the reference model would have cost. */
  readonly referenceUsd: number;
}

export class Ledger {
  readonly #parts: LedgerParts;
  readonly #budget = new ExplorationBudget();
  readonly #shares = new ModelShares();
  readonly #outcomes: Outcomes<Lesson>;
  /** By request: the one that its answer was generated for. Oldest first. */
  readonly #again = new Map<string, string>();

  constructor(parts: LedgerParts) {
    this.#parts = parts;
    this.#outcomes = new Outcomes({
      learner: parts.bandit,
      weights: parts.rewards,
      shares: this.#shares,
      log: parts.log,
    });
  }

  knowledge(): Knowledge {
    const { bandit: beliefs, classifier, clock } = this.#parts;
    return { beliefs, classifier, now: clock.wall() };
  }

  /** Whether the tenant's next choice may differ from what is believed best. */
  mayExplore(tenant: string | undefined, { exploration }: Policy): boolean {
    return this.#budget.may(tenant, exploration);
  }

  /** The request got its slot. */
  open(request: Identified, opened: Opened): Entry {
    return new Entry(request, opened, this.#parts, this.#outcomes, this.#budget);
  }

  /** The request got the answer that was generated for another one: what is said of it is said of that one. */
  again(requestId: string, generatedFor: string): void {
    this.#again.set(requestId, generatedFor);
    const [oldest] = this.#again.keys();
    if (this.#again.size > MOST_AGAIN && oldest !== undefined) this.#again.delete(oldest);
  }

  /** @returns the reward the answer is credited with, 0 to 1 @throws Fault REQUEST_UNKNOWN */
  feedback(requestId: string, ratings: Ratings): number {
    const generatedFor = this.#again.get(requestId) ?? requestId;
    return this.#outcomes.feedback(generatedFor, ratings, this.#parts.clock.wall());
  }

  figures(): ShareFigures {
    return this.#shares.figures();
  }
}

/** One request, from its choice to its end. */
export class Entry {
  readonly #request: Identified;
  readonly #opened: Opened;
  readonly #clock: Clock;
  readonly #outcomes: Outcomes<Lesson>;

  constructor(
    request: Identified,
    opened: Opened,
    { clock, classifier, key }: LedgerParts,
    outcomes: Outcomes<Lesson>,
    budget: ExplorationBudget,
  ) {
    this.#request = request;
    this.#opened = opened;
    this.#clock = clock;
    this.#outcomes = outcomes;
    const { decision, chosen, ask } = opened;
    const { id, tenant, chat } = request;
    const { model } = chosen.candidate;
    const { domain, complexity, task } = ask.classification;
    const isChoice = ask.target.type !== 'model';
    if (isChoice) budget.spent(tenant, ask.policy.exploration, decision.explored);
    const asked = { ownPreference: chat.preference !== undefined, withoutExploration: chat.withoutExploration };
    const served = {
      request: id,
      tenant,
      arm: { model: model.name, tier: model.tier },
      context: { domain, complexity, task },
      prior: priorQuality(model, ask.classification, classifier),
      expected: chosen.judged?.quality.mean ?? 0,
      promisedMs: chosen.estimate.totalMs,
      promptHash: promptHash(request, key),
      choice: isChoice ? choiceOf(decision, ask, chosen, asked) : undefined,
    };
    outcomes.served(served, clock.wall());
  }

  /** That was chosen. */
  get model(): string {
    return this.#opened.chosen.candidate.model.name;
  }

  /** @returns what the answer cost */
  finished({ finish, latencyMs, firstTokenMs, kept }: Answered): Bill {
    const { ask, chosen } = this.#opened;
    const { model } = chosen.candidate;
    const usage = finish.usage ?? { inputTokens: 0, cachedInputTokens: 0, outputTokens: 0 };
    const usd = billOf(model, usage, ask.policy.usdPerKwh);
    const referenceUsd = referenceCost(model, usd, usage, this.#able(), ask.policy);
    const text = ask.structured ? kept.text() : kept.head();
    this.#end(
      { finish: FINISHES[finish.reason] ?? 'stop', costUsd: usd, referenceUsd, latencyMs, firstTokenMs, ...usage },
      { refused: looksLikeRefusal(text), schemaValid: ask.structured && kept.isWhole ? isJson(text) : undefined },
    );
    return { usd, referenceUsd };
  }

  /** @param tokens of the answer that the client got */
  failed({ reason }: Fault, tokens: number): void {
    const latencyMs = this.#clock.now() - this.#request.arrivedAt;
    const { ask, chosen } = this.#opened;
    const usd = billOfPart(chosen.candidate.model, ask, tokens, GIVEN_UP.has(reason), ask.policy.usdPerKwh);
    // Given up, the reference model would have saved nothing.
    const spent = { costUsd: usd, referenceUsd: usd, inputTokens: 0, cachedInputTokens: 0, outputTokens: tokens };
    const cancelled = reason === 'CANCELLED';
    this.#end({ finish: cancelled ? 'cancelled' : 'failed', ...(cancelled ? {} : { fault: reason }), latencyMs, ...spent }, {});
  }

  #end(ending: Ending, signs: Signs): void {
    this.#outcomes.ended(this.#request.id, ending, signs);
  }

  /** Models that could have answered, now or after a wait. */
  #able(): ServedModel[] {
    return this.#opened.decision.considered.filter(({ standing }) => standing).map(({ candidate }) => candidate.model);
  }
}

/** Nobody wanted the rest, while the engine was at it. */
const GIVEN_UP: ReadonlySet<Reason> = new Set(['CANCELLED', 'DEADLINE_EXCEEDED', 'SLOW_CONSUMER', 'NODE_STALLED']);

const FINISHES: Readonly<Record<number, Ending['finish']>> = {
  [FinishReason.FINISH_REASON_STOP]: 'stop',
  [FinishReason.FINISH_REASON_STOP_STRING]: 'stop_string',
  [FinishReason.FINISH_REASON_LENGTH]: 'length',
};

/**
 * Equal for the same prompt in one session; a collision costs one wrong signal. Without a session there is none: that
 * many callers ask the same does not tell that its answer was bad.
 */
function promptHash({ session, prefixes }: Identified, key: string): number | undefined {
  if (session === undefined) return undefined;
  return Number.parseInt(hash('sha256', `${key} ${session} ${prefixes.at(-1)?.hash ?? 0}`, 'hex').slice(0, 13), 16);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
