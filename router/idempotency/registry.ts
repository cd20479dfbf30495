/**
 * What became of requests that carry an idempotency key, so that the same one sent again is not answered twice. Pure.
 *
 *   absent --enter--> running --finished--> finished --60 s, or room is needed--> absent
 *                        |
 *                        +--freed (cut, failed, or too large to be kept)--> absent
 *
 * The same key and body: while running, the newcomer takes the stream over, or begins anew where all of it is not to be
 * had any more; once finished, it gets the kept answer. The same key and another body is a conflict in both. A client that
 * goes on behind what it has (`renew`) begins anew: nothing says that what runs or was kept here begins with that.
 *
 * Keys and bodies are digests (digest.ts). Beyond the bound of keys the oldest finished one leaves; when all of them run,
 * a newcomer runs unregistered.
 */
import { Fault } from '../../proto/contract/faults.ts';
import type { Clock } from '../clock.ts';

export interface IdempotencyLimits {
  /** Running and finished together. */
  readonly keys: number;
  /** Of all kept answers together. */
  readonly bytes: number;
  /** How long an answer is kept. */
  readonly keepMs: number;
}

export const IDEMPOTENCY_LIMITS: IdempotencyLimits = { keys: 10_000, bytes: 64 << 20, keepMs: 60_000 };

/** What a running request does when its client is back. `Reader` is where an answer goes. */
export interface Running<Reader> {
  /** Whether a reader can still have all of the answer. */
  isWhole(): boolean;
  /** Ends the former reader's stream and goes on towards this one, which gets all of the answer from its beginning. */
  takeOver(reader: Reader): void;
  /** Ends: the same request runs anew. */
  replaced(): void;
}

/** One run of a request. Calls after the first, and those of a run that was replaced, do nothing. */
export interface Entry {
  /** The whole answer, as it is to be given again. */
  finished(answer: Buffer): void;
  /** The request was cut or failed: its key is free. */
  freed(): void;
}

export type Entered<Reader> =
  | { readonly type: 'new'; readonly entry: Entry }
  | { readonly type: 'running'; takeOver(reader: Reader): void }
  | { readonly type: 'finished'; readonly answer: Buffer };

interface Run<Reader> {
  readonly body: string;
  readonly running: Running<Reader>;
}

interface Kept {
  readonly body: string;
  readonly answer: Buffer;
  readonly until: number;
}

export class IdempotencyRegistry<Reader> {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #limits: IdempotencyLimits;
  readonly #running = new Map<string, Run<Reader>>();
  /** In the order in which they finished. */
  readonly #finished = new Map<string, Kept>();
  #bytes = 0;

  constructor(clock: Pick<Clock, 'now'>, limits = IDEMPOTENCY_LIMITS) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** That are running or kept. */
  get keys(): number {
    return this.#running.size + this.#finished.size;
  }

  /** Of the answers that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @throws Fault IDEMPOTENCY_CONFLICT when the key stands for another body */
  enter(key: string, body: string, running: Running<Reader>): Entered<Reader> {
    this.sweep();
    const before = this.#sameBody(key, body);
    if (!before) return { type: 'new', entry: this.#begin(key, body, running) };
    if ('answer' in before) return { type: 'finished', answer: before.answer };
    if (!before.running.isWhole()) return { type: 'new', entry: this.renew(key, body, running) };
    return { type: 'running', takeOver: (reader) => before.running.takeOver(reader) };
  }

  /** As `enter`, for a client that has a part of the answer: what ran under the key ends, what was kept goes. */
  renew(key: string, body: string, running: Running<Reader>): Entry {
    this.sweep();
    const before = this.#sameBody(key, body);
    this.#drop(key);
    this.#running.delete(key);
    const entry = this.#begin(key, body, running);
    if (before && 'running' in before) before.running.replaced();
    return entry;
  }

  /** Drops what is too old. It is also done whenever a request enters; who calls it in between frees memory sooner. */
  sweep(): void {
    const now = this.#clock.now();
    for (const [key, { until }] of this.#finished) {
      if (until > now) break;
      this.#drop(key);
    }
  }

  #sameBody(key: string, body: string): Run<Reader> | Kept | undefined {
    const before = this.#running.get(key) ?? this.#finished.get(key);
    if (before && before.body !== body) throw new Fault('IDEMPOTENCY_CONFLICT', 'the idempotency key stands for another request');
    return before;
  }

  #begin(key: string, body: string, running: Running<Reader>): Entry {
    if (this.keys >= this.#limits.keys && !this.#dropOldest()) return UNREGISTERED;
    const run = { body, running };
    this.#running.set(key, run);
    const ended = () => this.#running.get(key) === run && this.#running.delete(key);
    return {
      finished: (answer) => {
        if (ended()) this.#keep(key, body, answer);
      },
      freed: () => void ended(),
    };
  }

  #keep(key: string, body: string, answer: Buffer): void {
    if (answer.length > this.#limits.bytes) return;
    while (this.#bytes + answer.length > this.#limits.bytes) this.#dropOldest();
    this.#finished.set(key, { body, answer, until: this.#clock.now() + this.#limits.keepMs });
    this.#bytes += answer.length;
  }

  #dropOldest(): boolean {
    const [oldest] = this.#finished.keys();
    if (oldest === undefined) return false;
    this.#drop(oldest);
    return true;
  }

  #drop(key: string): void {
    this.#bytes -= this.#finished.get(key)?.answer.length ?? 0;
    this.#finished.delete(key);
  }
}

const UNREGISTERED: Entry = { finished: () => {}, freed: () => {} };
