/** Which router answered which request, for what is said of the answer later. Pure. */
import type { Router } from './router.ts';

const MOST_REMEMBERED = 10_000;

export interface AnsweredBy {
  readonly router: Router;
  /** By which that router knows the request. */
  readonly requestId: string;
}

export class Answered {
  readonly #byId = new Map<string, AnsweredBy>();

  get(requestId: string): AnsweredBy | undefined {
    return this.#byId.get(requestId);
  }

  /** @param requestId by which the caller knows it */
  remember(requestId: string, by: AnsweredBy): void {
    this.#byId.delete(requestId);
    this.#byId.set(requestId, by);
    const [oldest] = this.#byId.keys();
    if (this.#byId.size > MOST_REMEMBERED && oldest !== undefined) this.#byId.delete(oldest);
  }
}
