/** The texts that a child process makes vectors of. */
import type { Embedding } from '../backends/backend.ts';
import type { Failure } from '../backends/job-run.ts';
import { failure } from '../backends/job-run.ts';
import type { ToChild } from './protocol.ts';

export class RemoteEmbeds {
  readonly #send: (message: ToChild) => void;
  readonly #waiting = new Map<number, (embedding: Embedding) => void>();
  #nextId = 1;

  constructor(send: (message: ToChild) => void) {
    this.#send = send;
  }

  async embed(texts: readonly string[], signal: AbortSignal): Promise<Embedding> {
    if (signal.aborted) return CANCELLED;
    const id = this.#nextId++;
    const { promise, resolve } = Promise.withResolvers<Embedding>();
    const cancel = () => this.#send({ type: 'cancel_embed', id });
    this.#waiting.set(id, resolve);
    signal.addEventListener('abort', cancel, { once: true });
    this.#send({ type: 'embed', id, texts });
    const embedding = await promise;
    signal.removeEventListener('abort', cancel);
    return embedding;
  }

  receive(id: number, embedding: Embedding): void {
    this.#waiting.get(id)?.(embedding);
    this.#waiting.delete(id);
  }

  /** The child is gone. */
  endAll(why: Failure): void {
    for (const resolve of this.#waiting.values()) resolve(why);
    this.#waiting.clear();
  }
}

const CANCELLED = failure('CANCELLED', 'cancelled');
