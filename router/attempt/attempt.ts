/**
 * One attempt at a request on one node: the node's pieces go to the client as they came.
 *
 *   sent -> streaming -> ended          the node said so, and its engine has stopped
 *    |          |
 *    |----------|------> cancelled -> ended, or failed when the node does not say so in time
 *    `----------`------> failed       the node was lost
 *
 * An attempt whose node broke the protocol, or gave nothing for too long, is cancelled, and failed once its engine has
 * stopped; the request hears of it at once by `onFault`.
 *
 * The token path is `piece`: it checks the order, writes the bytes and counts credit; it decodes nothing, and allocates
 * nothing per token.
 *
 * Flow control: a request may have at most `WINDOW_BYTES` on the way, which is what the node may still send plus what
 * the client has not taken. The node is given more credit when half of that is free again.
 */
import { Fault } from '../../proto/contract/faults.ts';
import type { Ended, Work } from '../../proto/gen/infermesh/v1/link.ts';
import type { ClientStream } from '../../proto/transport/event-stream.ts';
import { isWhole } from '../../proto/transport/framing.ts';
import type { Clock } from '../clock.ts';
import type { AttemptPort, NodeLink } from '../fleet/node-link.ts';
import { MILESTONE_TOKENS } from '../fleet/reservations.ts';
import { TICK_MS } from '../patience/gaps.ts';
import type { Kept } from './kept.ts';
import type { Swept } from './sweep.ts';

export const WINDOW_BYTES = 16 * 1024;
/** What a new attempt may send at once, however much its client has still to take. */
const LEAST_CREDIT_BYTES = WINDOW_BYTES / 4;
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
  readonly stream: ClientStream;
  readonly clock: Clock;
  readonly work: Omit<Work, 'request' | 'creditBytes'>;
  /**
   * Called with the first piece. @returns what goes to the client before it, or false when another attempt was faster,
   * and this one is to stop
   */
  readonly onFirstToken: () => Buffer | undefined | false;
  /** How long to wait for the first piece, and between two, in milliseconds. */
  readonly patience: Patience;
  /** With the first piece, and about every `MILESTONE_TOKENS` after. */
  readonly onDelivered: (tokens: number) => void;
  /** Takes what of the answer is looked at later. */
  readonly kept: Kept;
  /** The client does not read. */
  readonly onSlowConsumer: () => void;
  /** The attempt can't succeed any more, though its engine may still run. */
  readonly onFault: (fault: Fault) => void;
}

/** What an attempt's silence is held against, and told. */
export interface Patience {
  readonly firstTokenMs: number;
  readonly stallMs: () => number;
  /** A silence between two pieces is over that took so many ticks. */
  readonly onSilence: (ticks: number) => void;
  /** So many tokens came since the last tick. */
  readonly onPassed: (tokens: number) => void;
  /** Whether another node could take it over; where none can, waiting is all there is. */
  readonly mayGiveUp: () => boolean;
}

export class Attempt implements AttemptPort, Swept {
  /** Tokens of the answer that went towards the client, in this attempt and those before it. */
  tokens: number;
  readonly result: Promise<AttemptResult>;

  readonly #options: AttemptOptions;
  readonly #epoch: number;
  #request = 0;
  #credit: number;
  #opened = false;
  #opening: Buffer | undefined;
  /** As of the last tick, and ticks since anything came. */
  #seen: number;
  #silent = 0;
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
    this.tokens = this.#seen = options.work.delivered?.tokens ?? 0;
    // What another attempt has sent may still be on its way to the client.
    this.#credit = Math.max(LEAST_CREDIT_BYTES, WINDOW_BYTES - options.stream.held);
    this.#request = options.link.start({ ...options.work, creditBytes: this.#credit }, this);
  }

  /** The client took something. */
  released(): void {
    if (!this.#over) this.#grant();
  }

  tick(): void {
    const { patience } = this.#options;
    if (this.#over || this.#cancelled) return;
    const came = this.tokens - this.#seen;
    this.#seen = this.tokens;
    if (came > 0) {
      patience.onPassed(came);
      if (this.#silent > 0) patience.onSilence(this.#silent);
    }
    // A node that may not send is not silent by its own will.
    if (came > 0 || this.#credit <= 0) {
      this.#silent = 0;
      return;
    }
    const silentMs = ++this.#silent * TICK_MS;
    const limit = this.#opened ? patience.stallMs() : patience.firstTokenMs;
    if (silentMs < limit || !patience.mayGiveUp()) return;
    const { id } = this.#options.link;
    this.fail(new Fault('NODE_STALLED', `node ${id} has not ${this.#opened ? 'gone on' : 'begun to answer'} for ${silentMs} ms`));
  }

  piece(epoch: number, seq: number, tokens: number, data: Buffer): void {
    if (epoch !== this.#epoch || this.#cancelled) return;
    if (seq !== this.tokens) return this.#broken(`expected token ${this.tokens}, received ${seq}`);
    if (!isWhole(data)) return this.#broken('a piece is not whole messages');
    this.#credit -= data.length;
    if (this.#credit < -WINDOW_BYTES) return this.#broken('it sent more than its credit');
    const low = this.#credit <= WINDOW_BYTES / 2;
    if (!this.#opened && !this.#open()) return;
    this.tokens = seq + tokens;
    this.#options.kept.take(data);
    if (this.#opening) this.#takeAlong(data);
    else this.#options.stream.write(low ? apart(data) : data, low);
    // While most of the credit is left there is nothing to grant; this is how nearly every token leaves.
    if (low) this.#grant();
    if (this.tokens >= this.#milestone) this.#passed();
  }

  #passed(): void {
    this.#milestone = this.tokens + MILESTONE_TOKENS;
    this.#options.onDelivered(this.tokens);
  }

  /** @returns whether the pieces of this attempt are the answer's */
  #open(): boolean {
    const opening = this.#options.onFirstToken();
    if (opening === false) return false;
    this.#opened = true;
    // The wait for the first token is no gap between two.
    this.#silent = 0;
    this.#opening = opening;
    return true;
  }

  #takeAlong(data: Buffer): void {
    this.#options.stream.write(Buffer.concat([this.#opening as Buffer, data]), true);
    this.#opening = undefined;
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
    this.#settle(result);
  }
}

/** The piece without the frame it came in, which holds the pieces of many requests and would wait along with it. */
function apart(data: Buffer): Buffer {
  const frame = data.buffer.byteLength;
  return frame > Buffer.poolSize && frame > COPY_RATIO * data.length ? Buffer.from(data) : data;
}
