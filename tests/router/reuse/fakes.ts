/** Readers and pieces of answers for the tests of this folder. */
import type { Fault } from '../../../proto/contract/faults.ts';
import { ChatResponse, Finished, Started } from '../../../proto/gen/infermesh/v1/inference.ts';
import type { ClientStream } from '../../../proto/transport/event-stream.ts';
import { framed, messagesOf } from '../../../proto/transport/framing.ts';

export const OPENING = framed(ChatResponse.encode({ event: { $case: 'started', value: Started.create() } }).finish());
export const FINISHED = Finished.fromPartial({ reason: 1 });
export const CLOSING = framed(ChatResponse.encode({ event: { $case: 'finished', value: FINISHED } }).finish());

/** The tokens from `seq` on, as a node frames them. */
export function piece(seq: number, tokens = 1, text = `<${seq}>`): Buffer {
  return framed(ChatResponse.encode({ event: { $case: 'delta', value: { seq, tokens, text, tokenIds: [] } } }).finish());
}

/** A client that takes what was written when the test says so. */
export class FakeClient implements ClientStream {
  onRelease: () => void = () => {};
  onGone: () => void = () => {};
  open = true;
  held = 0;
  fault: Fault | undefined;
  ended = false;
  readonly #written: Buffer[] = [];

  write(data: Buffer): void {
    if (!this.open) return;
    this.#written.push(data);
    this.held += data.length;
  }

  end(): void {
    this.ended = true;
    this.open = false;
  }

  fail(fault: Fault): void {
    if (!this.open) return;
    this.fault = fault;
    this.open = false;
  }

  /** Takes all that it was given. */
  take(): void {
    if (this.held === 0) return;
    this.held = 0;
    this.onRelease();
  }

  /** What it was given, in whole messages. */
  get events(): readonly string[] {
    return messagesOf(Buffer.concat(this.#written)).map((message) => {
      const { event } = ChatResponse.decode(message);
      return event?.$case === 'delta' ? event.value.text : (event?.$case ?? '?');
    });
  }
}
