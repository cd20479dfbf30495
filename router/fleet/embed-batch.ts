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
/** A node that does not answer by then is waited for no longer, and what it worked on counts as over. */
const GIVE_UP_AFTER_MS = 10_000;
/** Nodes that give work back are no failures. */
const NO_VERDICT: ReadonlySet<Reason> = new Set(['DRAINING', 'QUEUE_FULL']);

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

  constructor(parts: EmbedBatchParts) {
    this.#parts = parts;
    this.#texts = parts.calls.flatMap(({ texts }) => texts.map((text) => text.slice(0, MOST_CHARACTERS).toWellFormed()));
    this.#deadlineAt = Math.max(...parts.calls.map(({ deadlineAt }) => deadlineAt));
  }

  sendTo(link: NodeLink): void {
    const { nodes, clock, model, calls, onFree } = this.#parts;
    const leftMs = this.#deadlineAt - clock.now();
    let over = false;
    nodes.sent(link);
    const end = (tell: () => void) => {
      if (over) return;
      over = true;
      stopTimer();
      nodes.freed(link);
      tell();
      onFree();
    };
    let stopTimer = clock.after(leftMs, () => {
      nodes.failed(link);
      stopTimer = clock.after(GIVE_UP_AFTER_MS, () => end(() => link.forgetEmbed(request)));
    });
    const traceparent = calls.find((call) => call.traceparent !== '')?.traceparent ?? '';
    const request = link.embed(
      { model: model.name, texts: [...this.#texts], deadlineMs: Math.ceil(leftMs), traceparent },
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
    if (!NO_VERDICT.has(fault.reason)) nodes.failed(link);
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
