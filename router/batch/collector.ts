/** Where the answer to an item of a batch goes: nobody reads along, its client gets it as a whole. */
import { Fault } from '../../proto/contract/faults.ts';
import { ChatResponse } from '../../proto/gen/infermesh/v1/inference.ts';
import { messagesOf } from '../../proto/transport/framing.ts';
import { Kept } from '../attempt/kept.ts';
import { UnreadStream } from '../unread-stream.ts';
import type { Outcome } from './outcome.ts';

/** gRPC clients take messages of 4 MiB unless they are told otherwise, and who answered and why takes some of that. */
const MOST_TEXT_BYTES = 4_000_000;

export class Collector extends UnreadStream {
  /** The whole answer. @throws Fault why there is none */
  readonly outcome: Promise<Outcome>;
  readonly #kept = new Kept();
  readonly #settle: PromiseWithResolvers<Outcome>;
  #tooLong = false;

  constructor() {
    super();
    this.#settle = Promise.withResolvers();
    this.outcome = this.#settle.promise;
  }

  override write(data: Buffer, notice = false): void {
    this.#kept.take(data);
    super.write(data, notice);
    if (this.#kept.isWhole || this.#tooLong) return;
    this.#tooLong = true;
    this.onGone();
  }

  override end(): void {
    super.end();
    try {
      if (this.#tooLong) throw tooLong();
      this.#settle.resolve(answerIn(this.#kept.bytes()));
    } catch (thrown) {
      this.#settle.reject(thrown);
    }
  }

  override fail(fault: Fault): void {
    super.fail(fault);
    this.#settle.reject(this.#tooLong ? tooLong() : fault);
  }
}

/** @throws Fault UNSUPPORTED for more text than a message has room for */
function answerIn(events: Buffer): Outcome {
  const texts: string[] = [];
  let started: Extract<NonNullable<ChatResponse['event']>, { $case: 'started' }>['value'] | undefined;
  let finished: Extract<NonNullable<ChatResponse['event']>, { $case: 'finished' }>['value'] | undefined;
  for (const message of messagesOf(events)) {
    const { event } = ChatResponse.decode(message);
    if (event?.$case === 'started') started = event.value;
    else if (event?.$case === 'delta') texts.push(event.value.text);
    else if (event?.$case === 'finished') finished = event.value;
  }
  const text = texts.join('');
  if (Buffer.byteLength(text) > MOST_TEXT_BYTES) throw tooLong();
  return { $case: 'answer', value: { started, text, finished } };
}

const tooLong = () =>
  new Fault(
    'UNSUPPORTED',
    `the answer has grown over ${MOST_TEXT_BYTES.toLocaleString('en')} bytes; ask for it by Chat, as a stream`,
  );
