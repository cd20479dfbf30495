/**
 * One stream that an answer is read to, at the reader's own pace, from a recording that is whole or still grows.
 *
 *   reading -> finished     it has all of the answer
 *           -> left         its client is gone, its deadline passed, it was too slow, or the answer failed
 *
 * Nothing is copied for a reader: what it has not taken lies in the recording, where all readers find it.
 */
import { Fault } from '../../proto/contract/faults.ts';
import type { ClientStream } from '../../proto/transport/event-stream.ts';
import { PREFIX_BYTES } from '../../proto/transport/framing.ts';
import { SLOW_CONSUMER_MS, WINDOW_BYTES } from '../attempt/attempt.ts';
import type { Clock } from '../clock.ts';

/** The deltas of an answer, as gRPC frames them. */
export interface Recording {
  /** Bytes there are so far. */
  readonly length: number;
  /** Whole messages from there on, not always all of them; empty where there are none yet. */
  from(position: number): Buffer;
}

/** What stands behind the deltas. */
export interface Closing {
  readonly finished: Buffer;
  readonly trailers: Readonly<Record<string, string>>;
}

export interface ReaderParts {
  readonly stream: ClientStream;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  readonly recording: Recording;
  /** What stands before the deltas, once it is known who answers. */
  readonly opening: () => Buffer | undefined;
  /** It took something. */
  readonly onTaken?: () => void;
}

export type Reading = { readonly type: 'finished' } | { readonly type: 'left'; readonly fault: Fault };

const NOTHING = Buffer.alloc(0);

export class Reader {
  /** Resolves when it has read everything, or left. */
  readonly done: Promise<Reading>;
  /** When its first piece went to it, by the router's clock. */
  openedAt: number | undefined;
  readonly #parts: ReaderParts;
  #opened: Buffer | undefined;
  #position = 0;
  /** Bytes that went to it and are not recorded. */
  #beyond = 0;
  #closing: Closing | undefined;
  #over = false;
  #stopWatching: (() => void) | undefined;
  #resolve: (reading: Reading) => void = () => {};

  constructor(parts: ReaderParts) {
    this.#parts = parts;
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    parts.stream.onRelease = () => this.#released();
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** Bytes of the answer that have left towards its client. */
  get taken(): number {
    return this.#position + this.#beyond - this.#parts.stream.held;
  }

  /** Nothing that went to it is missing from `soFar`. */
  get isWhole(): boolean {
    return this.#beyond === 0;
  }

  /** Gives it what has come, as far as it takes it. */
  pump(): void {
    const { stream, recording } = this.#parts;
    while (!this.#over && stream.held < WINDOW_BYTES) {
      const opening = this.#opened ? undefined : this.#parts.opening();
      if (!this.#opened && !opening) return;
      const piece = portion(recording.from(this.#position));
      this.#position += piece.length;
      const closing = this.#position === recording.length ? this.#closing : undefined;
      if (piece.length === 0 && !closing) return;
      if (opening) this.#open(opening);
      stream.write(joined(opening, piece, closing?.finished), true);
      if (closing) return this.#finish(closing);
    }
    this.#watch();
  }

  /** What the recording has no room for any more goes to a reader that has all the rest. */
  through(data: Buffer): void {
    if (this.#over) return;
    if (this.#position < this.#parts.recording.length) {
      return this.leave(tooSlow('the answer has grown too long to be kept for a reader so slow'));
    }
    this.#beyond += data.length;
    this.#parts.stream.write(data, true);
  }

  /** Nothing more is recorded. */
  close(closing: Closing): void {
    this.#closing = closing;
    this.pump();
  }

  leave(fault: Fault): void {
    if (this.#over) return;
    this.#end({ type: 'left', fault });
    this.#parts.stream.fail(fault);
  }

  /** What went to its stream, while it `isWhole`. */
  soFar(): Buffer {
    const pieces = [this.#opened ?? NOTHING];
    for (let at = 0; at < this.#position; ) {
      const piece = this.#parts.recording.from(at).subarray(0, this.#position - at);
      pieces.push(piece);
      at += piece.length;
    }
    return Buffer.concat(pieces);
  }

  #open(opening: Buffer): void {
    this.#opened = opening;
    this.openedAt = this.#parts.clock.now();
  }

  #finish({ trailers }: Closing): void {
    this.#end({ type: 'finished' });
    this.#parts.stream.end(trailers);
  }

  #end(reading: Reading): void {
    this.#over = true;
    this.#stopWatching?.();
    this.#parts.stream.onRelease = () => {};
    this.#resolve(reading);
  }

  #released(): void {
    this.#stopWatching?.();
    this.#stopWatching = undefined;
    this.pump();
    this.#parts.onTaken?.();
  }

  #watch(): void {
    if (this.#over || this.#stopWatching) return;
    this.#stopWatching = this.#parts.clock.after(SLOW_CONSUMER_MS, () =>
      this.leave(tooSlow('the client did not read its stream for 30 s')),
    );
  }
}

const tooSlow = (message: string) => new Fault('SLOW_CONSUMER', message);

function joined(...parts: readonly (Buffer | undefined)[]): Buffer {
  const present = parts.filter((part) => part !== undefined && part.length > 0) as Buffer[];
  return present.length === 1 ? (present[0] as Buffer) : Buffer.concat(present);
}

/** Of whole messages as many as make a window, at least one. */
function portion(data: Buffer): Buffer {
  if (data.length <= WINDOW_BYTES) return data;
  let end = 0;
  do end += PREFIX_BYTES + data.readUInt32BE(end + 1);
  while (end < WINDOW_BYTES && end < data.length);
  return data.subarray(0, end);
}
