/**
 * One attempt at a request on one node: the node's pieces go to the client as they came.
 *
 *   sent -> streaming -> ended          the node said so, and its engine has stopped
 *    \________\________> failed         the node was lost, or broke the protocol
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

export const WINDOW_BYTES = 16 * 1024;
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
  /** Takes a copy of every piece, where the operator has asked for content in traces. */
  readonly record?: Buffer[] | undefined;
  /** The client does not read. */
  readonly onSlowConsumer: () => void;
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
  #cancelled = false;
  #settle: (result: AttemptResult) => void = () => {};
  #stopWatching: (() => void) | undefined;

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
    this.#options.record?.push(data);
    const low = this.#credit <= WINDOW_BYTES / 2;
    if (this.#opened) this.#options.stream.write(data, low);
    else this.#open(data);
    // While most of the credit is left there is nothing to grant; this is how nearly every token leaves.
    if (low) this.#grant();
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

  /** Asks the node to stop; `result` comes when its engine has. */
  cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#options.link.cancel(this.#request, this.#epoch);
  }

  ended(ended: Ended): void {
    this.#finish({ type: 'ended', ended, tokens: this.tokens });
  }

  lost(fault: Fault): void {
    this.#finish({ type: 'failed', fault, tokens: this.tokens });
  }

  #broken(what: string): void {
    this.cancel();
    const { id } = this.#options.link;
    this.#finish({
      type: 'failed',
      fault: new Fault('NODE_LOST', `node ${id} broke the protocol: ${what}`),
      tokens: this.tokens,
    });
  }

  #finish(result: AttemptResult): void {
    this.#stopWatching?.();
    this.#stopWatching = undefined;
    this.#options.stream.onRelease = () => {};
    this.#settle(result);
  }
}
