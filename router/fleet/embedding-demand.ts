/**
 * Has a node load a model that makes vectors when a client asks for some and no node has it in memory. What the router
 * itself wants vectors for goes without.
 */
import { embedsOnly } from '../../proto/contract/embedding.ts';
import { Fault } from '../../proto/contract/faults.ts';
import { NodeState } from '../../proto/gen/infermesh/v1/types.ts';
import type { Clock } from '../clock.ts';
import type { Fleet } from './fleet.ts';
import type { NodeLink } from './node-link.ts';

export interface VectorsDemand {
  /** Empty: any will do. */
  readonly model: string;
  /** From now, in milliseconds. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface EmbeddingDemandParts {
  readonly fleet: Pick<Fleet, 'links' | 'onChange' | 'onDemand'>;
  readonly clock: Pick<Clock, 'now' | 'after'>;
}

/** Served, on its way, or nothing to wait for. */
type Outlook = 'served' | 'coming' | 'none';

export class EmbeddingDemand {
  readonly #parts: EmbeddingDemandParts;
  /** By model, in the order in which they came: each looks again, and says whether it waits on. */
  readonly #waiting = new Map<string, Set<() => boolean>>();

  constructor(parts: EmbeddingDemandParts) {
    this.#parts = parts;
    parts.fleet.onChange(() => this.#lookAgain());
  }

  /**
   * Resolves when a node serves it, or none could in time.
   * @returns what is left of the deadline
   * @throws Fault DEADLINE_EXCEEDED or CANCELLED
   */
  async ready({ model, deadlineMs, signal }: VectorsDemand): Promise<number> {
    const { clock } = this.#parts;
    const until = clock.now() + deadlineMs;
    const isComing = () => this.#outlook(model, until - clock.now()) === 'coming';
    if (isComing()) await this.#wait(isComing, { model, deadlineMs, signal });
    return until - clock.now();
  }

  async #wait(isComing: () => boolean, { model, deadlineMs, signal }: VectorsDemand): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const late = new Fault('DEADLINE_EXCEEDED', 'the deadline passed before the model was loaded');
    const stopTimer = this.#parts.clock.after(deadlineMs, () => reject(late));
    const onAbort = () => reject(new Fault('CANCELLED', 'cancelled'));
    signal?.addEventListener('abort', onAbort, { once: true });
    const look = () => {
      const waits = isComing();
      if (!waits) resolve();
      return waits;
    };
    const line = this.#waiting.get(model) ?? new Set();
    this.#waiting.set(model, line.add(look));
    try {
      await promise;
    } finally {
      line.delete(look);
      if (line.size === 0) this.#waiting.delete(model);
      stopTimer();
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** All of a line wait for the same: while that is to come for one of them, the others need not look. */
  #lookAgain(): void {
    for (const line of this.#waiting.values()) [...line].some((look) => look());
  }

  /** Asks for the load that is done first, where nobody serves it. */
  #outlook(model: string, leftMs: number): Outlook {
    const { links, onDemand } = this.#parts.fleet;
    let first: { readonly link: NodeLink; readonly name: string; readonly readyMs: number } | undefined;
    for (const link of links) {
      for (const served of link.models) {
        const { name, tasks } = served;
        if (!embedsOnly(tasks) || (model !== '' && name !== model)) continue;
        if (link.serves(name)) return 'served';
        const cold = onDemand.coldOf(link, served);
        const couldLoad = cold && cold.refused === undefined && cold.soonestMs <= leftMs && isThere(link, name);
        if (couldLoad && cold.readyMs < (first?.readyMs ?? Number.POSITIVE_INFINITY))
          first = { link, name, readyMs: cold.readyMs };
      }
    }
    if (!first) return 'none';
    onDemand.wanted(first.link.id, first.name, 1);
    return 'coming';
  }
}

function isThere(link: NodeLink, model: string): boolean {
  const state = link.stateOf(model);
  return state === NodeState.NODE_STATE_SERVING || state === NodeState.NODE_STATE_LOADING;
}
