/**
 * One attempt at a request on one node: the node's pieces go to the client as they came.
 *
 *   sent -> streaming -> ended          the node said so, and its engine has stopped
 *    |          |
 *    |----------|------> cancelled -> ended, or failed when the node does not say so in time
 *    `----------`------> failed       the node was lost
 *
 * An attempt whose node broke the protocol is cancelled, and failed once its engine has stopped; the request hears of it
 * at once by `onFault`.
 *
 * The token path is `piece`: it checks the order, writes the bytes and counts credit; it decodes nothing, and allocates
 * nothing per token.
 *
 * Flow control: a request may have at most `WINDOW_BYTES` on the way, which is what the node may still send plus what
 * the client has not taken. The node is given more credit when half of that is free again.
 */
import { Fault } from '../../proto/contract/faults.ts';
import type { Ended, Work } from '../../proto/gen/infermesh/v1/link.ts';
import type { EventStream } from '../../proto/transport/event-stream.ts';
import { isWhole } from '../../proto/transport/framing.ts';
import type { Clock } from '../clock.ts';
import type { AttemptPort, NodeLink } from '../fleet/node-link.ts';
import { MILESTONE_TOKENS } from '../fleet/reservations.ts';
import type { Kept } from './kept.ts';

export const WINDOW_BYTES = 16 * 1024;
/** A node that has not answered a cancel for so long is not waited for: its slot counts as free. */
export const CANCEL_LIMIT_MS = 10_000;
/** A piece that may have to wait for its client is copied out of a frame so many times its size. */
const COPY_RATIO = 4;
/** A client that has not taken its bytes for so long gives up its slot. */
export const SLOW_CONSUMER_MS = 30_000;

export type AttemptResult =
  | { readonly type: 'ended'; readonly ended: Ended; readonly tokens: number }
  | { readonly type: 'failed'; readonly fault: Fault; readonly tokens: number };

export interface AttemptOptions {
  readonly link: NodeLink;
  readonly stream: EventStream;
  readonly clock: Clock;
  readonly work: Omit<Work, 'request' | 'creditBytes'>;
  /** Goes to the client together with the first piece. */
  readonly opening: Buffer;
  readonly onFirstToken: () => void;
  /** With the first piece, and about every `MILESTONE_TOKENS` after. */
  readonly onDelivered: (tokens: number) => void;
  /** Takes what of the answer is looked at later. */
  readonly kept: Kept;
  /** The client does not read. */
  readonly onSlowConsumer: () => void;
  /** The attempt can't succeed any more, though its engine may still run. */
  readonly onFault: (fault: Fault) => void;
}

export class Attempt implements AttemptPort {
  /** Tokens that went towards the client. */
  tokens = 0;
  readonly result: Promise<AttemptResult>;

  readonly #options: AttemptOptions;
  readonly #epoch: number;
  #request = 0;
  #credit = WINDOW_BYTES;
  #opened = false;
  #milestone = 0;
  #cancelled = false;
  #over = false;
  #fault: Fault | undefined;
  #settle: (result: AttemptResult) => void = () => {};
  #stopWatching: (() => void) | undefined;
  #stopLimit: (() => void) | undefined;

  constructor(options: AttemptOptions) {
    this.#options = options;
    this.#epoch = options.work.epoch;
    this.result = new Promise((resolve) => {
      this.#settle = resolve;
    });
    options.stream.onRelease = () => this.#grant();
    this.#request = options.link.start({ ...options.work, creditBytes: WINDOW_BYTES }, this);
  }

  piece(epoch: number, seq: number, tokens: number, data: Buffer): void {
    if (epoch !== this.#epoch || this.#cancelled) return;
    if (seq !== this.tokens) return this.#broken(`expected token ${this.tokens}, received ${seq}`);
    if (!isWhole(data)) return this.#broken('a piece is not whole messages');
    this.#credit -= data.length;
    if (this.#credit < -WINDOW_BYTES) return this.#broken('it sent more than its credit');
    this.tokens = seq + tokens;
    this.#options.kept.take(data);
    const low = this.#credit <= WINDOW_BYTES / 2;
    if (!this.#opened) this.#open(data);
    else this.#options.stream.write(low ? apart(data) : data, low);
    // While most of the credit is left there is nothing to grant; this is how nearly every token leaves.
    if (low) this.#grant();
    if (this.tokens >= this.#milestone) this.#passed();
  }

  #passed(): void {
    this.#milestone = this.tokens + MILESTONE_TOKENS;
    this.#options.onDelivered(this.tokens);
  }

  #open(data: Buffer): void {
    this.#opened = true;
    this.#options.onFirstToken();
    this.#options.stream.write(Buffer.concat([this.#options.opening, data]), true);
  }

  /** The opening, if no piece took it along. */
  get unopened(): Buffer | undefined {
    return this.#opened ? undefined : this.#options.opening;
  }

  #grant(): void {
    const { link, stream } = this.#options;
    const free = WINDOW_BYTES - stream.held - Math.max(0, this.#credit);
    if (free >= WINDOW_BYTES / 2) {
      this.#stopWatching?.();
      this.#stopWatching = undefined;
      this.#credit += free;
      link.credit(this.#request, this.#epoch, free);
    } else if (stream.held >= WINDOW_BYTES / 2 && !this.#stopWatching) {
      this.#stopWatching = this.#options.clock.after(SLOW_CONSUMER_MS, () => this.#options.onSlowConsumer());
    }
  }

  /** Asks the node to stop; `result` comes when its engine has, or when the node has let `CANCEL_LIMIT_MS` pass. */
  cancel(): void {
    if (this.#cancelled || this.#over) return;
    this.#cancelled = true;
    const { link, clock } = this.#options;
    link.cancel(this.#request, this.#epoch);
    this.#stopLimit = clock.after(CANCEL_LIMIT_MS, () => {
      link.forget(this.#request);
      this.lost(new Fault('NODE_LOST', `node ${link.id} did not answer a cancel for ${CANCEL_LIMIT_MS} ms`));
    });
  }

  ended(ended: Ended): void {
    if (this.#fault) this.lost(this.#fault);
    else this.#finish({ type: 'ended', ended, tokens: this.tokens });
  }

  lost(fault: Fault): void {
    this.#finish({ type: 'failed', fault: this.#fault ?? fault, tokens: this.tokens });
  }

  fail(fault: Fault): void {
    if (this.#fault || this.#over) return;
    this.#fault = fault;
    this.cancel();
    this.#options.onFault(fault);
  }

  #broken(what: string): void {
    this.fail(new Fault('NODE_LOST', `node ${this.#options.link.id} broke the protocol: ${what}`));
  }

  #finish(result: AttemptResult): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopWatching?.();
    this.#stopWatching = undefined;
    this.#stopLimit?.();
    this.#options.stream.onRelease = () => {};
    this.#settle(result);
  }
}

/** The piece without the frame it came in, which holds the pieces of many requests and would wait along with it. */
function apart(data: Buffer): Buffer {
  const frame = data.buffer.byteLength;
  return frame > Buffer.poolSize && frame > COPY_RATIO * data.length ? Buffer.from(data) : data;
}
