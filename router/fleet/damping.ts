/**
 * Which nodes come and go too often. Pure; all times in milliseconds of one monotonic clock.
 *
 * A node may come back three times within a minute. From the fourth time on it is admitted and not chosen for a while,
 * twice as long each time, from 1 s to 30 s; each minute in which it does not come back halves the next.
 */
export const MOST_RETURNS = 3;
export const WITHIN_MS = 60_000;
export const HELD_MS = { least: 1000, most: 30_000 };
const MOST_DOUBLINGS = Math.ceil(Math.log2(HELD_MS.most / HELD_MS.least));

interface History {
  /** When it came back, within the last minute. */
  returns: number[];
  /** How often it was held, less the minutes of peace since. */
  doublings: number;
  /** Since when it has been at peace, for the next halving. */
  calmSince: number;
  heldUntil: number;
  leftAt: number;
}

/** A node that is now held out of the choice. */
export interface Damped {
  /** Within the last minute. */
  readonly returns: number;
  readonly heldMs: number;
}

export class Damping {
  /** By node id; the one that left first stands first. */
  readonly #histories = new Map<string, History>();
  /** When the last of those held is let in again, and when the next. */
  #lastRelease = 0;
  #nextRelease = Number.POSITIVE_INFINITY;

  left(node: string, now: number): void {
    const known = this.#histories.get(node);
    this.#histories.delete(node);
    this.#histories.set(node, known ? { ...known, leftAt: now } : newHistory(now));
    this.#forget(now);
  }

  /** @returns how it is damped; undefined when it is not */
  joined(node: string, now: number): Damped | undefined {
    const history = this.#histories.get(node);
    if (!history) return undefined;
    calm(history, now);
    history.returns = [...history.returns.filter((at) => now - at < WITHIN_MS), now];
    history.calmSince = now;
    if (history.returns.length <= MOST_RETURNS) return undefined;
    const heldMs = Math.min(HELD_MS.most, HELD_MS.least * 2 ** history.doublings);
    history.doublings = Math.min(MOST_DOUBLINGS, history.doublings + 1);
    history.heldUntil = now + heldMs;
    this.#nextRelease = Math.min(this.#nextRelease, history.heldUntil);
    this.#lastRelease = Math.max(this.#lastRelease, history.heldUntil);
    return { returns: history.returns.length, heldMs };
  }

  holds(node: string, now: number): boolean {
    return this.holdsAny(now) && (this.#histories.get(node)?.heldUntil ?? 0) > now;
  }

  holdsAny(now: number): boolean {
    return this.#lastRelease > now;
  }

  /** Whether a node is let in again since this was asked last. */
  released(now: number): boolean {
    if (now < this.#nextRelease) return false;
    const held = [...this.#histories.values()].map(({ heldUntil }) => heldUntil).filter((until) => until > now);
    this.#nextRelease = Math.min(Number.POSITIVE_INFINITY, ...held);
    return true;
  }

  /** Nodes of which something is known. */
  get size(): number {
    return this.#histories.size;
  }

  /** Those that left so long ago that nothing of it matters any more. */
  #forget(now: number): void {
    const longest = WITHIN_MS * (MOST_DOUBLINGS + 1);
    for (const [node, { leftAt }] of this.#histories) {
      if (now - leftAt < longest) break;
      this.#histories.delete(node);
    }
  }
}

function newHistory(now: number): History {
  return { returns: [], doublings: 0, calmSince: now, heldUntil: 0, leftAt: now };
}

function calm(history: History, now: number): void {
  const minutes = Math.floor((now - history.calmSince) / WITHIN_MS);
  history.doublings = Math.max(0, history.doublings - minutes);
}
