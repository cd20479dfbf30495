/** The beginning of an answer, kept as it went by to be looked at when it is over. */
import { ChatResponse } from '../../proto/gen/infermesh/v1/inference.ts';
import { messagesOf } from '../../proto/transport/framing.ts';

/** Enough to see whether an answer is a refusal. */
const HEAD_BYTES = 1024;
/** An answer whose whole matters, if it is no longer than that. */
const WHOLE_BYTES = 1 << 20;

export class Kept {
  readonly #limit: number;
  readonly #pieces: Buffer[] = [];
  #bytes = 0;
  #whole = true;

  /** @param whole keep all of it, not only its head */
  constructor(whole: boolean) {
    this.#limit = whole ? WHOLE_BYTES : HEAD_BYTES;
  }

  /** Copies the piece, unless there is enough. */
  take(piece: Buffer): void {
    if (this.#bytes >= this.#limit) {
      this.#whole = false;
      return;
    }
    this.#bytes += piece.length;
    this.#pieces.push(Buffer.from(piece));
  }

  /** Nothing of the answer is missing from `text`. */
  get isWhole(): boolean {
    return this.#whole;
  }

  /** Of what was kept. */
  text(): string {
    return this.#pieces
      .flatMap(messagesOf)
      .map((message) => ChatResponse.decode(message).event)
      .map((one) => (one?.$case === 'delta' ? one.value.text : ''))
      .join('');
  }
}
