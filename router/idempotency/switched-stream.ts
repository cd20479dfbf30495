/**
 * The stream of a request that carries an idempotency key: its client may come back on another call, and the answer then
 * goes there.
 */
import { Fault } from '../../proto/contract/faults.ts';
import type { ClientStream } from '../../proto/transport/event-stream.ts';

export class SwitchedStream implements ClientStream {
  onRelease: () => void = () => {};
  onGone: () => void = () => {};
  #stream: ClientStream;

  constructor(stream: ClientStream) {
    this.#stream = this.#attached(stream);
  }

  get held(): number {
    return this.#stream.held;
  }

  get open(): boolean {
    return this.#stream.open;
  }

  write(data: Buffer, notice?: boolean): void {
    this.#stream.write(data, notice);
  }

  end(trailers?: Readonly<Record<string, string>>): void {
    this.#stream.end(trailers);
  }

  fail(fault: Fault): void {
    this.#stream.fail(fault);
  }

  /** From now on the answer goes to `next`, which first gets what went to the former reader. */
  switchTo(next: ClientStream, soFar: Buffer): void {
    const former = detached(this.#stream);
    this.#stream = this.#attached(next);
    former.fail(new Fault('CANCELLED', 'another call with the same idempotency key took the stream over'));
    if (soFar.length > 0) next.write(soFar, true);
  }

  /** Gives its stream away; what is done to it from then on is done to nobody. */
  handOver(): ClientStream {
    const stream = detached(this.#stream);
    this.#stream = NOBODY;
    return stream;
  }

  #attached(stream: ClientStream): ClientStream {
    stream.onRelease = () => this.onRelease();
    stream.onGone = () => this.onGone();
    return stream;
  }
}

function detached(stream: ClientStream): ClientStream {
  stream.onRelease = () => {};
  stream.onGone = () => {};
  return stream;
}

const NOBODY: ClientStream = {
  held: 0,
  open: false,
  onRelease: () => {},
  onGone: () => {},
  write: () => {},
  end: () => {},
  fail: () => {},
};
