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
    let isOver = false;
    // What has arrived meanwhile is read first: a process that stood still blames nobody.
    const cancel = this.#clock.after(this.#leftMs, () =>
      setImmediate(() => {
        isOver = true;
        over.resolve(undefined);
      }),
    );
    const asked = ask().then((answer) => {
      if (isOver) late(answer);
      return answer;
    });
    const answer = await Promise.race([asked, over.promise]);
    cancel();
    const tookMs = this.#clock.now() - since;
    if (isOver) this.#leftMs = 0;
    // Longer, and yet not over: that was this process, which did not get to look.
    else if (tookMs < this.#leftMs) this.#leftMs -= tookMs;
    return answer;
  }
}
