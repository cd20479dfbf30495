/** Keeps those who are not let in from filling the log: one line for each host and minute. */
import type { Clock } from '../clock.ts';

const INTERVAL_MS = 60_000;
/** More hosts than this in a minute are an attack, which its first thousand lines show well enough. */
const MAX_HOSTS = 1000;

export class RefusedPeers {
  readonly #clock: Clock;
  /** When each was told of last; the oldest first. */
  readonly #told = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param peer HOST:PORT. @returns whether this refusal is to be told */
  isNews(peer: string): boolean {
    const now = this.#clock.now();
    for (const [host, at] of this.#told) {
      if (now - at < INTERVAL_MS) break;
      this.#told.delete(host);
    }
    const host = peer.replace(/:\d+$/, '');
    if (this.#told.has(host) || this.#told.size >= MAX_HOSTS) return false;
    this.#told.set(host, now);
    return true;
  }
}
