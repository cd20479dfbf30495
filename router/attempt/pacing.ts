/** How long attempts are waited for and how many more there may be: what was learnt, as one request's attempts ask it. */
import type { Clock } from '../clock.ts';
import { HedgeBudget, RetryBudget } from '../patience/budget.ts';
import { FirstTokens } from '../patience/first-tokens.ts';
import { Gaps } from '../patience/gaps.ts';
import { Patience as FirstTokenPatience } from '../patience/patience.ts';
import type { Identified } from '../request.ts';
import type { Considered } from '../select/candidate.ts';
import type { Patience } from './attempt.ts';

/** An engine reads others' prompts in chunks of about so many tokens, and gives nothing meanwhile. */
const PREFILL_CHUNK = 64;
/** A stall is at least so many times what the rates make of a gap, however regular the gaps were so far. */
const LEAST_GAPS = 3;

export class Pacing {
  readonly #patience: FirstTokenPatience;
  readonly #gaps: Gaps;
  readonly #firstTokens: FirstTokens;
  readonly #hedges: HedgeBudget;
  readonly #retries = new RetryBudget();
  readonly #loaded: () => boolean;

  /** @param loaded whether requests wait for slots */
  constructor(clock: Clock, loaded: () => boolean) {
    this.#patience = new FirstTokenPatience(clock);
    this.#gaps = new Gaps(clock);
    this.#firstTokens = new FirstTokens(clock);
    this.#hedges = new HedgeBudget(clock);
    this.#loaded = loaded;
  }

  /** A request has come. */
  request(): void {
    this.#hedges.request();
  }

  /** @param mayGiveUp whether somebody else could take it over */
  patience({ needs }: Identified, { candidate, estimate }: Considered, mayGiveUp: () => boolean): Patience {
    const { node, model } = candidate;
    const { complexity } = needs.classification;
    const expectedGapMs = gapMs(model);
    return {
      firstTokenMs: this.#patience.firstTokenMs({
        model: model.name,
        complexity,
        expectedFirstTokenMs: estimate.firstTokenMs,
      }),
      stallMs: () => Math.max(LEAST_GAPS * expectedGapMs, this.#gaps.stallMs(node, model.name, expectedGapMs)),
      onSilence: (ticks) => this.#gaps.saw(node, model.name, ticks),
      onPassed: (tokens) => this.#gaps.passed(node, model.name, tokens),
      mayGiveUp,
    };
  }

  firstToken({ needs }: Identified, { candidate: { node, model } }: Considered, firstTokenMs: number): void {
    this.#patience.saw({ model: model.name, complexity: needs.classification.complexity, firstTokenMs });
    this.#firstTokens.saw(node, model.name, firstTokenMs);
  }

  /** After so many milliseconds a second attempt beside the first is worth it; undefined while that is not known. */
  hedgeAfterMs({ candidate: { node, model } }: Considered): number | undefined {
    return this.#firstTokens.p95(node, model.name);
  }

  /** Takes one hedge of the budget. */
  mayHedge(): boolean {
    return this.#hedges.tryTake(this.#loaded());
  }

  /** @param active requests that are open now @returns undefined when the budget of retries is used up */
  retry(active: number): Disposable | undefined {
    return this.#retries.tryTake(active);
  }

  /** What was learnt of a node that left is of no use to the process that takes its name. */
  forget(node: string): void {
    this.#gaps.forget(node);
    this.#firstTokens.forget(node);
  }
}

/** Between two tokens of a request while another's prompt is read, as the measured rates make it. */
function gapMs({ decodeTokensPerSecond, prefillTokensPerSecond }: Considered['candidate']['model']): number {
  const decode = decodeTokensPerSecond > 0 ? 1000 / decodeTokensPerSecond : 0;
  const prefill = prefillTokensPerSecond > 0 ? (PREFILL_CHUNK * 1000) / prefillTokensPerSecond : 0;
  return decode + prefill;
}
