/**
 * Who wants to be left alone: an engine that is a server outside says so for as long as its limits hold, and until then
 * its node is given no work for that model. Another process under the node's name has said nothing.
 */
import type { Clock } from '../clock.ts';
import type { NodeLink } from './node-link.ts';

interface Rest {
  readonly until: number;
  readonly stopTimer: () => void;
}

export class Rests {
  readonly #clock: Clock;
  readonly #onOver: () => void;
  /** By model. */
  readonly #rests = new Map<NodeLink, Map<string, Rest>>();

  /** @param onOver a node may be let in again */
  constructor(clock: Clock, onOver: () => void) {
    this.#clock = clock;
    this.#onOver = onOver;
  }

  /** From now; of two wishes the longer counts. */
  wanted(link: NodeLink, model: string, ms: number): void {
    const until = this.#clock.now() + ms;
    const rests = this.#rests.get(link) ?? new Map<string, Rest>();
    const before = rests.get(model);
    if (before && before.until >= until) return;
    before?.stopTimer();
    const stopTimer = this.#clock.after(ms, () => {
      rests.delete(model);
      this.#onOver();
    });
    rests.set(model, { until, stopTimer });
    this.#rests.set(link, rests);
  }

  /** Milliseconds; 0: it may be asked. */
  leftMs(link: NodeLink, model: string): number {
    const until = this.#rests.get(link)?.get(model)?.until;
    return until === undefined ? 0 : Math.max(0, until - this.#clock.now());
  }

  left(link: NodeLink): void {
    for (const { stopTimer } of this.#rests.get(link)?.values() ?? []) stopTimer();
    this.#rests.delete(link);
  }

  stop(): void {
    for (const link of [...this.#rests.keys()]) this.left(link);
  }
}
