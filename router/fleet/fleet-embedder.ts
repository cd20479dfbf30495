/**
 * Has the fleet's nodes make vectors. Calls that come close together go out in one embed:
 *
 *   waiting -> sent -> answered
 *                   -> sent to another node, once, because the first was lost or failed
 *
 * A call ends at its own deadline, or when its caller leaves, wherever it is; what nobody waits for any more is cancelled
 * at its node. What nodes send is not believed: a wrong number of vectors, or one that
 * can't be, is a failure of the node.
 */
import { MOST_EMBED_TEXTS } from '../../proto/contract/embedding.ts';
import { Fault, invalid } from '../../proto/contract/faults.ts';
import type { Clock } from '../clock.ts';
import type { EmbedCall } from './embed-batch.ts';
import { EmbedBatch } from './embed-batch.ts';
import type { Embedder, EmbeddingModel, Embeddings, EmbedOptions } from './embedder.ts';
import { EmbeddingNodes } from './embedding-nodes.ts';
import type { Fleet } from './fleet.ts';

/** How long a call waits for others to go along with it. */
const WINDOW_MS = 2;
/** That wait for a node; beyond it calls are refused. */
const MOST_WAITING_TEXTS = 1024;
/** A timer that is set to more fires at once. */
const LONGEST_MS = 2 ** 31 - 1;

export interface FleetEmbedderParts {
  readonly fleet: Pick<Fleet, 'links' | 'onChange'>;
  readonly clock: Pick<Clock, 'now' | 'after'>;
}

export class FleetEmbedder implements Embedder, Disposable {
  readonly #clock: FleetEmbedderParts['clock'];
  readonly #nodes: EmbeddingNodes;
  readonly #stopListening: () => void;
  /** In the order in which they came. */
  #waiting: EmbedCall[] = [];
  #closeWindow: (() => void) | undefined;
  #disposed = false;

  constructor({ fleet, clock }: FleetEmbedderParts) {
    this.#clock = clock;
    this.#nodes = new EmbeddingNodes(
      () => fleet.links,
      () => clock.now(),
    );
    this.#stopListening = fleet.onChange(() => this.#sendSoon());
  }

  get model(): EmbeddingModel | undefined {
    return this.#nodes.model;
  }

  embed(texts: readonly string[], { deadlineMs, traceparent, signal }: EmbedOptions): Promise<Embeddings> {
    const refusal = signal?.aborted ? CANCELLED : this.#refusal(texts, deadlineMs);
    if (refusal) return Promise.reject(refusal);
    const { promise, resolve, reject } = Promise.withResolvers<Embeddings>();
    const limitMs = Math.min(deadlineMs, LONGEST_MS);
    const call: EmbedCall = {
      texts,
      deadlineAt: this.#clock.now() + limitMs,
      traceparent,
      ended: false,
      resolve: (embeddings) => end(() => resolve(embeddings)),
      reject: (fault) => end(() => reject(fault)),
      onLeft: () => {},
    };
    const leave = (fault: Fault) => {
      call.reject(fault);
      call.onLeft();
    };
    const onAbort = () => leave(CANCELLED);
    const stopTimer = this.#clock.after(limitMs, () => leave(late()));
    signal?.addEventListener('abort', onAbort, { once: true });
    const end = (tell: () => void) => {
      if (call.ended) return;
      call.ended = true;
      stopTimer();
      signal?.removeEventListener('abort', onAbort);
      tell();
    };
    this.#waiting.push(call);
    this.#sendSoon();
    return promise;
  }

  #refusal(texts: readonly string[], deadlineMs: number): Fault | undefined {
    if (texts.length < 1 || texts.length > MOST_EMBED_TEXTS) {
      const description = `must be 1 to ${MOST_EMBED_TEXTS}, received ${texts.length}`;
      return invalid([{ field: 'texts', description }]);
    }
    if (this.#disposed) return new Fault('DRAINING', 'the router is shutting down');
    if (!(deadlineMs > 0)) return late();
    const { model } = this;
    if (!model || this.#nodes.candidates(model).length === 0) return this.#nobody(model);
    this.#waiting = this.#waiting.filter(({ ended }) => !ended);
    const waiting = this.#waiting.reduce((sum, call) => sum + call.texts.length, 0);
    if (waiting + texts.length <= MOST_WAITING_TEXTS) return undefined;
    return new Fault('QUEUE_FULL', `${waiting} texts wait for their vectors, and ${MOST_WAITING_TEXTS} may`);
  }

  /** After a change of the fleet too: many come at once, and few of them let anybody through. */
  #sendSoon(): void {
    if (this.#closeWindow || this.#waiting.length === 0) return;
    this.#closeWindow = this.#clock.after(WINDOW_MS, () => {
      this.#closeWindow = undefined;
      this.#send();
    });
  }

  #send(): void {
    for (;;) {
      const calls = this.#nextCalls();
      if (calls.length === 0) return;
      const { model } = this;
      const links = model ? this.#nodes.candidates(model) : [];
      const link = model && links.find((one) => this.#nodes.hasRoom(one, model));
      if (links.length > 0 && !link) return;
      this.#waiting = this.#waiting.filter((call) => !calls.includes(call));
      if (!model || !link) for (const call of calls) call.reject(this.#nobody(model));
      else new EmbedBatch({ calls, model, nodes: this.#nodes, clock: this.#clock, onFree: () => this.#send() }).sendTo(link);
    }
  }

  #nobody(model: EmbeddingModel | undefined): Fault {
    const retryAfterMs = model && this.#nodes.restsMs(model);
    return new Fault('NO_NODE', 'no node makes vectors of texts now', { retryAfterMs });
  }

  /** As many of those that wait as fit into one embed; each has at most as many texts as fit. */
  #nextCalls(): readonly EmbedCall[] {
    this.#waiting = this.#waiting.filter(({ ended }) => !ended);
    let texts = 0;
    const beyond = this.#waiting.findIndex((call) => {
      texts += call.texts.length;
      return texts > MOST_EMBED_TEXTS;
    });
    return beyond === -1 ? this.#waiting : this.#waiting.slice(0, beyond);
  }

  /** Refuses those that wait; what was sent goes on until its deadline. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#stopListening();
    this.#closeWindow?.();
    for (const call of this.#waiting) call.reject(new Fault('DRAINING', 'the router is shutting down'));
    this.#waiting = [];
  }
}

const late = () => new Fault('DEADLINE_EXCEEDED', 'the deadline passed before the vectors were there');
const CANCELLED = new Fault('CANCELLED', 'cancelled');
