/**
 * How long one request may be held up by looking for what would only make it faster. Each question to Redis has a limit of
 * its own; a Redis that is always a little slow would come near it with each of them.
 */
import type { Clock } from '../clock.ts';

/** Of all questions of a request together. */
const BUDGET_MS = 40;

export class WaitBudget {
  readonly #clock: Pick<Clock, 'now' | 'after'>;
  #leftMs = BUDGET_MS;

  constructor(clock: Pick<Clock, 'now' | 'after'>) {
    this.#clock = clock;
  }

  /** @param late takes an answer that nobody waits for any more @returns undefined where it would take too long */
  async within<Answer>(ask: () => Promise<Answer>, late: (answer: Answer) => void = () => {}): Promise<Answer | undefined> {
    if (this.#leftMs <= 0) return undefined;
    const since = this.#clock.now();
    const over = Promise.withResolvers<undefined>();
    const cancel = this.#clock.after(this.#leftMs, () => over.resolve(undefined));
    let isLate = false;
    const asked = ask().then((answer) => {
      if (isLate) late(answer);
      return answer;
    });
    const answer = await Promise.race([asked, over.promise]);
    isLate = true;
    cancel();
    this.#leftMs -= this.#clock.now() - since;
    return answer;
  }
}
