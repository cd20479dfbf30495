/** Where each session's last request was served, so that its next one can go there. Bounded in number and time. */
import type { Clock } from '../clock.ts';

/** A session that was silent for so long has lost its place in any KV cache. */
export const SESSION_IDLE_MS = 30 * 60_000;
export const MOST_SESSIONS = 100_000;

export interface Place {
  readonly node: string;
  readonly model: string;
}

interface Kept extends Place {
  readonly at: number;
}

export class Sessions {
  readonly #clock: Clock;
  readonly #most: number;
  /** The one served longest ago stands first. */
  readonly #places = new Map<string, Kept>();

  constructor(clock: Clock, most = MOST_SESSIONS) {
    this.#clock = clock;
    this.#most = most;
  }

  get size(): number {
    return this.#places.size;
  }

  last(session: string): Place | undefined {
    const kept = this.#places.get(session);
    if (!kept || this.#clock.now() - kept.at >= SESSION_IDLE_MS) return undefined;
    return { node: kept.node, model: kept.model };
  }

  served(session: string, node: string, model: string): void {
    const now = this.#clock.now();
    this.#places.delete(session);
    this.#places.set(session, { node, model, at: now });
    for (const [oldest, { at }] of this.#places) {
      if (this.#places.size <= this.#most && now - at < SESSION_IDLE_MS) break;
      this.#places.delete(oldest);
    }
  }
}
