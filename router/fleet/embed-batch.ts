/** Calls that go to a node as one embed, and to another one if that fails. */
import type { Reason } from '../../proto/contract/faults.ts';
import { Fault } from '../../proto/contract/faults.ts';
import { faultNamed } from '../../proto/contract/status.ts';
import type { Embedded } from '../../proto/gen/infermesh/v1/link.ts';
import type { Clock } from '../clock.ts';
import type { EmbeddingModel, Embeddings } from './embedder.ts';
import type { EmbeddingNodes } from './embedding-nodes.ts';
import type { NodeLink } from './node-link.ts';
import { checkedVectors } from './vectors.ts';

/** More is cut off: 64 such texts fit into a frame, and hardly a model reads as much. */
const MOST_CHARACTERS = 16_384;
/** A node that has not answered a cancel by then is waited for no longer, and what it worked on counts as over. */
const GIVE_UP_AFTER_MS = 10_000;
/** Nodes that give work back are no failures, nor are those that stop as they are told. */
const NO_VERDICT: ReadonlySet<Reason> = new Set(['DRAINING', 'QUEUE_FULL', 'NO_ROOM']);

/** Texts of one caller, until they have an answer. */
export interface EmbedCall {
  readonly texts: readonly string[];
  /** By the clock's `now`. */
  readonly deadlineAt: number;
  readonly traceparent: string;
  /** Both do nothing once it has ended. */
  resolve(embeddings: Embeddings): void;
  reject(fault: Fault): void;
  ended: boolean;
  /** Called once if it ends for itself: its caller is gone, or its deadline has passed. */
  onLeft: () => void;
}

export interface EmbedBatchParts {
  readonly calls: readonly EmbedCall[];
  readonly model: EmbeddingModel;
  readonly nodes: EmbeddingNodes;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  /** A node may take more. */
  readonly onFree: () => void;
}

export class EmbedBatch {
  readonly #parts: EmbedBatchParts;
  readonly #texts: readonly string[];
  readonly #deadlineAt: number;
  #first: NodeLink | undefined;
  #cancelled = false;
  /** Tells the node that nobody waits any more. */
  #cancel: () => void = () => {};

  constructor(parts: EmbedBatchParts) {
    this.#parts = parts;
    this.#texts = parts.calls.flatMap(({ texts }) => texts.map((text) => text.slice(0, MOST_CHARACTERS).toWellFormed()));
    this.#deadlineAt = Math.max(...parts.calls.map(({ deadlineAt }) => deadlineAt));
    for (const call of parts.calls) {
      call.onLeft = () => {
        if (parts.calls.every(({ ended }) => ended)) this.#cancel();
      };
    }
  }

  sendTo(link: NodeLink): void {
    const { nodes, clock, model, calls, onFree } = this.#parts;
    let over = false;
    let stopTimer = () => {};
    nodes.sent(link);
    const end = (tell: () => void) => {
      if (over) return;
      over = true;
      this.#cancel = () => {};
      stopTimer();
      nodes.freed(link);
      tell();
      onFree();
    };
    this.#cancel = () => {
      this.#cancelled = true;
      // Who was not done by the deadline has failed; who is told to stop before it fails by not stopping.
      const isLate = clock.now() >= this.#deadlineAt;
      if (isLate) nodes.failed(link);
      link.cancelEmbed(request);
      stopTimer = clock.after(GIVE_UP_AFTER_MS, () => {
        if (!isLate) nodes.failed(link);
        end(() => link.forgetEmbed(request));
      });
    };
    const traceparent = calls.find((call) => call.traceparent !== '')?.traceparent ?? '';
    const deadlineMs = Math.ceil(this.#deadlineAt - clock.now());
    const request = link.embed(
      { model: model.name, texts: [...this.#texts], deadlineMs, traceparent },
      {
        embedded: (embedded) => end(() => this.#embedded(link, embedded)),
        lost: (fault) => end(() => this.#failed(link, fault)),
      },
    );
  }

  #embedded(link: NodeLink, embedded: Embedded): void {
    const { calls, model, nodes } = this.#parts;
    if (embedded.failure) return this.#failed(link, faultNamed(embedded.failure));
    const vectors = checkedVectors(embedded, this.#texts.length, model.dimensions);
    if (typeof vectors === 'string') return this.#failed(link, new Fault('ENGINE_FAILED', `of node ${link.id}: ${vectors}`));
    nodes.succeeded(link);
    let at = 0;
    for (const call of calls) {
      call.resolve({ model, vectors: vectors.slice(at, at + call.texts.length) });
      at += call.texts.length;
    }
  }

  #failed(link: NodeLink, fault: Fault): void {
    const { calls, model, nodes, clock } = this.#parts;
    if (fault.retryAfterMs !== undefined) nodes.rests(link, fault.retryAfterMs);
    else if (!this.#cancelled && !NO_VERDICT.has(fault.reason)) nodes.failed(link);
    const wanted = calls.some(({ ended }) => !ended) && clock.now() < this.#deadlineAt;
    const other = this.#first === undefined && wanted ? nodes.candidates(model, link)[0] : undefined;
    this.#first = link;
    if (other) this.sendTo(other);
    else for (const call of calls) call.reject(asCallers(fault));
  }
}

/** Nobody here cancelled: the node ended it for reasons of its own. */
function asCallers(fault: Fault): Fault {
  return fault.reason === 'CANCELLED' ? new Fault('NODE_LOST', 'the node gave the embed up') : fault;
}
