/** What this router's requests occupy on one node: slots, and tokens still to be worked off. */

/** What a request asks for when it takes its slot. */
export interface Work {
  readonly model: string;
  readonly promptTokens: number;
  /** The answer's, as expected. */
  readonly outputTokens: number;
}

/** Everything reserved for one model. */
export interface Reserved {
  readonly requests: number;
  /** Of these, that have given no token yet. */
  readonly unbegun: number;
  /** The most that were giving tokens at the same time. */
  readonly mostBegun: number;
  /** Sent to be read, of requests that have given no token yet. */
  readonly promptTokens: number;
  /** Expected, less those that came. */
  readonly outputTokens: number;
}

/** How many tokens of an answer pass between two corrections of what it still needs. */
export const MILESTONE_TOKENS = 32;

type Sum = { -readonly [Field in keyof Reserved]: Reserved[Field] };

const nothing = (): Sum => ({ requests: 0, unbegun: 0, mostBegun: 0, promptTokens: 0, outputTokens: 0 });

export class Reservations {
  readonly #sums = new Map<string, Sum>();

  of(model: string): Reserved {
    return this.#sums.get(model) ?? nothing();
  }

  /** Requests that hold a slot, of all models. */
  get requests(): number {
    return [...this.#sums.values()].reduce((sum, { requests }) => sum + requests, 0);
  }

  /** Takes a slot until disposed, which frees it once however often it is called. */
  take(work: Work): Reservation {
    const sum = this.#sums.get(work.model) ?? nothing();
    this.#sums.set(work.model, sum);
    return new Reservation(work, sum);
  }
}

/** One request's part of the sums. */
export class Reservation implements Disposable {
  readonly #work: Work;
  readonly #sum: Sum;
  #promptTokens: number;
  #outputTokens: number;
  #held = true;
  #begun = false;

  constructor(work: Work, sum: Sum) {
    this.#work = work;
    this.#sum = sum;
    this.#promptTokens = work.promptTokens;
    this.#outputTokens = work.outputTokens;
    sum.requests++;
    sum.unbegun++;
    sum.promptTokens += this.#promptTokens;
    sum.outputTokens += this.#outputTokens;
  }

  /**
   * So much of the answer has come, so the prompt has been read; an answer that grows longer than expected may go on.
   * @returns true the first time
   */
  delivered(tokens: number): boolean {
    if (!this.#held) return false;
    const { outputTokens } = this.#work;
    this.#needs(0, Math.max(Math.min(outputTokens, MILESTONE_TOKENS), outputTokens - tokens));
    return this.#begin();
  }

  /** @returns false if it was free already */
  free(): boolean {
    if (!this.#held) return false;
    this.#held = false;
    this.#sum.requests--;
    if (!this.#begun) this.#sum.unbegun--;
    this.#needs(0, 0);
    return true;
  }

  [Symbol.dispose](): void {
    this.free();
  }

  #begin(): boolean {
    if (this.#begun) return false;
    this.#begun = true;
    const sum = this.#sum;
    sum.unbegun--;
    sum.mostBegun = Math.max(sum.mostBegun, sum.requests - sum.unbegun);
    return true;
  }

  #needs(promptTokens: number, outputTokens: number): void {
    this.#sum.promptTokens += promptTokens - this.#promptTokens;
    this.#sum.outputTokens += outputTokens - this.#outputTokens;
    this.#promptTokens = promptTokens;
    this.#outputTokens = outputTokens;
  }
}
