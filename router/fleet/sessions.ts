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
  /** What a session is known by; where places are shared, something that tells nothing of it. */
  digestOf: (session: string) => string = (session) => session;
  /** Called with the digest of a session that was served here. */
  onServed: (digest: string, place: Place) => void = () => {};
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
    const kept = this.#places.get(this.digestOf(session));
    if (!kept || this.#clock.now() - kept.at >= SESSION_IDLE_MS) return undefined;
    return { node: kept.node, model: kept.model };
  }

  served(session: string, node: string, model: string): void {
    const digest = this.digestOf(session);
    this.#put(digest, { node, model, at: this.#clock.now() });
    this.onServed(digest, { node, model });
  }

  /** It was served elsewhere, so long ago; what is known to be later stands. */
  heard(digest: string, { node, model }: Place, agoMs: number): void {
    const at = this.#clock.now() - agoMs;
    if ((this.#places.get(digest)?.at ?? Number.NEGATIVE_INFINITY) < at) this.#put(digest, { node, model, at });
  }

  #put(digest: string, kept: Kept): void {
    const now = this.#clock.now();
    this.#places.delete(digest);
    this.#places.set(digest, kept);
    for (const [oldest, { at }] of this.#places) {
      if (this.#places.size <= this.#most && now - at < SESSION_IDLE_MS) break;
      this.#places.delete(oldest);
    }
  }
}
