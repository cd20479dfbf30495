/**
 * One answer as its reader sees it, whatever number of calls bring it: started once, deltas without gap or repetition,
 * finished once. Pure.
 */
import { MAX_DELIVERED_BYTES, MOST_DELIVERED_IDS } from '../proto/contract/bounds.ts';
import { Fault } from '../proto/contract/faults.ts';
import type { ChatResponse, Delta, Started } from '../proto/gen/infermesh/v1/inference.ts';
import type { Delivered } from '../proto/gen/infermesh/v1/types.ts';
import type { ChatEvent } from './events.ts';

type Came = NonNullable<ChatResponse['event']>;

export class Progress {
  /** What the reader was told of who answers. */
  started: Started | undefined;
  /** Who answers now; by this id the router that does knows the request. */
  answering: Started | undefined;
  /** Of all deltas that the reader has. */
  tokens = 0;
  finished = false;
  readonly #keeps: boolean;
  #moves = 0;
  #texts: string[] = [];
  #ids: number[] = [];
  /** Of the texts; past the bound nothing is kept. */
  #bytes = 0;

  /** @param keeps what was delivered, so that another router can go on behind it */
  constructor(keeps: boolean) {
    this.#keeps = keeps;
  }

  /** @returns what of it is news to the reader. @throws Fault INTERNAL where tokens are missing */
  take(event: Came): ChatEvent | undefined {
    switch (event.$case) {
      case 'started':
        return this.#takeStarted(event.value);
      case 'delta':
        return this.#takeDelta(event.value);
      case 'finished':
        this.finished = true;
        return { type: 'finished', ...event.value, migrations: event.value.migrations + this.#moves };
    }
  }

  /** @returns undefined before the answer began, and when it has become too much to be kept */
  delivered(): Delivered | undefined {
    if (!this.started || this.#bytes > MAX_DELIVERED_BYTES) return undefined;
    const { model, tokenizerDigest } = this.started;
    // Ids of some tokens only are of no use.
    const tokenIds = this.#ids.length === this.tokens ? [...this.#ids] : [];
    return { model, tokenizerDigest, tokens: this.tokens, text: this.#texts.join(''), tokenIds };
  }

  #takeStarted(started: Started): ChatEvent | undefined {
    this.answering = started;
    if (this.started) {
      this.#moves++;
      return undefined;
    }
    this.started = started;
    return { type: 'started', ...started };
  }

  #takeDelta(delta: Delta): ChatEvent | undefined {
    const { seq, tokens } = delta;
    if (seq < this.tokens && seq + tokens <= this.tokens) return undefined;
    if (seq !== this.tokens) throw new Fault('INTERNAL', `the answer goes on at token ${seq}, due was ${this.tokens}`);
    this.tokens += tokens;
    if (this.#keeps) this.#keep(delta);
    return { type: 'delta', ...delta };
  }

  #keep({ text, tokenIds }: Delta): void {
    if (this.#bytes > MAX_DELIVERED_BYTES) return;
    this.#bytes += Buffer.byteLength(text);
    if (this.#bytes > MAX_DELIVERED_BYTES) {
      this.#texts = [];
      this.#ids = [];
      return;
    }
    this.#texts.push(text);
    if (this.tokens <= MOST_DELIVERED_IDS) for (const id of tokenIds) this.#ids.push(id);
  }
}
