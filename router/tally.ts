/** What the router holds and has done. Each open count is a disposable, so that it can't drift. */
import { Drain } from '../proto/transport/drain.ts';
import type { Outcome } from '../telemetry/events.ts';
import { once } from './once.ts';

export class Tally {
  requestsOpen = 0;
  attemptsOpen = 0;
  tokensRelayed = 0;
  /** Streams that went on behind another node's tokens. */
  migrations = 0;
  /** Attempts that followed one that gave nothing, and those beside a slow one. */
  retries = 0;
  hedges = 0;
  /** Requests whose answer was not generated for them; of those, who read along with an equal request. */
  cached = 0;
  shared = 0;
  /** What generating those answers had cost. */
  savedUsd = 0;
  readonly ended: Record<Outcome, number> = { finished: 0, failed: 0, cancelled: 0 };

  readonly #drain = new Drain();

  request(): Disposable {
    this.requestsOpen++;
    return once(() => {
      this.requestsOpen--;
      if (this.requestsOpen === 0) this.#drain.idle();
    });
  }

  /** Resolves when no request is open, or after `limitMs`. */
  async idle(limitMs: number): Promise<void> {
    if (this.requestsOpen > 0) await this.#drain.wait(limitMs);
  }

  attempt(): Disposable {
    this.attemptsOpen++;
    return once(() => {
      this.attemptsOpen--;
    });
  }
}
