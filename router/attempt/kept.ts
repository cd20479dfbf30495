/**
 * What of an answer has gone towards its client, as the bytes that went: another node goes on behind it when this one
 * dies, and what is looked at when it is over. Nothing is decoded before somebody asks.
 */
import type { Delta } from '../../proto/gen/infermesh/v1/inference.ts';
import { ChatResponse } from '../../proto/gen/infermesh/v1/inference.ts';
import type { Delivered } from '../../proto/gen/infermesh/v1/types.ts';
import { messagesOf } from '../../proto/transport/framing.ts';

/** Of an answer that is longer only the beginning is kept, and nobody can go on behind it. */
export const MOST_KEPT_BYTES = 4 << 20;
const FIRST_BYTES = 256;
/** Enough to see whether an answer is a refusal. */
const HEAD_BYTES = 1024;

export class Kept {
  #bytes = Buffer.alloc(0);
  #length = 0;
  #head = 0;
  #whole = true;
  /** What other routers delivered before. */
  readonly #before: Pick<Delivered, 'text' | 'tokenIds' | 'tokens'>;

  constructor(before: Pick<Delivered, 'text' | 'tokenIds' | 'tokens'> = NOTHING) {
    this.#before = before;
  }

  /** Copies the piece, unless there is too much already. */
  take(piece: Buffer): void {
    const length = this.#length + piece.length;
    if (!this.#whole || length > MOST_KEPT_BYTES) {
      this.#whole = false;
      return;
    }
    if (length > this.#bytes.length) this.#grow(length);
    piece.copy(this.#bytes, this.#length);
    this.#length = length;
    if (this.#head < HEAD_BYTES) this.#head = length;
  }

  #grow(length: number): void {
    const bytes = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, 2 * this.#bytes.length, length));
    this.#bytes.copy(bytes, 0, 0, this.#length);
    this.#bytes = bytes;
  }

  /** Nothing of the answer is missing from `text`. */
  get isWhole(): boolean {
    return this.#whole;
  }

  /** Bytes of it. */
  get length(): number {
    return this.#length;
  }

  /** What went towards the client from there on, as it went. */
  from(position: number): Buffer {
    return this.#bytes.subarray(position, this.#length);
  }

  /** What went towards the client, as it went; without what came before. */
  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Of all that was kept. */
  text(): string {
    return this.#before.text + textOf(this.#deltas(this.#length));
  }

  /** Of the first pieces, about 1 KiB. */
  head(): string {
    return this.#before.text.slice(0, HEAD_BYTES) + textOf(this.#deltas(this.#head));
  }

  /** For another node to go on behind it. Only while `isWhole`. */
  delivered(): Pick<Delivered, 'text' | 'tokenIds' | 'tokens'> {
    const deltas = this.#deltas(this.#length);
    const tokens = deltas.reduce((sum, delta) => sum + delta.tokens, this.#before.tokens);
    const tokenIds = [...this.#before.tokenIds];
    for (const delta of deltas) for (const id of delta.tokenIds) tokenIds.push(id);
    // Ids of some tokens only are of no use.
    return { tokens, text: this.#before.text + textOf(deltas), tokenIds: tokenIds.length === tokens ? tokenIds : [] };
  }

  #deltas(length: number): Delta[] {
    return messagesOf(this.#bytes.subarray(0, length))
      .map((message) => ChatResponse.decode(message).event)
      .flatMap((one) => (one?.$case === 'delta' ? [one.value] : []));
  }
}

const NOTHING = { text: '', tokenIds: [], tokens: 0 };
const textOf = (deltas: readonly Delta[]) => deltas.map(({ text }) => text).join('');
