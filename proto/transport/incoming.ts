/**
 * The requests of a call whose client sends several, as bytes, one at a time. While nobody asks for the next one the
 * client is held up by flow control; what is read ahead are the 16 messages that grpc-js takes by itself.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js';

type Call = Pick<ServerDuplexStream<Buffer, Buffer>, 'read' | 'on' | 'once'>;

export class Incoming {
  readonly #call: Call;
  #over = false;
  #wake: () => void = () => {};

  constructor(call: Call) {
    this.#call = call;
    call.on('readable', () => this.#wake());
    call.once('end', () => this.stop());
    call.once('close', () => this.stop());
  }

  /** Undefined when nothing more comes. To be asked again only after it has answered. */
  async next(): Promise<Buffer | undefined> {
    while (!this.#over) {
      const request = this.#call.read() as Buffer | null;
      if (request !== null) return request;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return undefined;
  }

  /** Nothing more is wanted. */
  stop(): void {
    this.#over = true;
    this.#wake();
  }
}
