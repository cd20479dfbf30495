/** Answers from the cache, for a reader: all at once, or at the pace at which they were generated. */
import { PREFIX_BYTES } from '../../proto/transport/framing.ts';
import type { Clock } from '../clock.ts';
import type { Recording } from './reader.ts';

export class WholeRecording implements Recording {
  readonly #deltas: Buffer;

  constructor(deltas: Buffer) {
    this.#deltas = deltas;
  }

  get length(): number {
    return this.#deltas.length;
  }

  from(position: number): Buffer {
    return this.#deltas.subarray(position);
  }
}

/** How often a paced answer gives what is due. */
const STEP_MS = 20;

/** Gives its messages one after the other, so that the last one comes after `durationMs`. */
export class PacedRecording implements Recording, Disposable {
  readonly #deltas: Buffer;
  readonly #ends: readonly number[];
  readonly #stop: () => void;
  #given = 0;

  /** @param onMore there is more of it @param onEnd all of it is there */
  constructor(deltas: Buffer, durationMs: number, clock: Pick<Clock, 'now' | 'every'>, onMore: () => void, onEnd: () => void) {
    this.#deltas = deltas;
    this.#ends = endsOf(deltas);
    const startedAt = clock.now();
    this.#stop = clock.every(STEP_MS, () => {
      const share = durationMs > 0 ? (clock.now() - startedAt) / durationMs : 1;
      this.#given = Math.min(this.#ends.length, Math.floor(share * this.#ends.length));
      onMore();
      if (this.#given < this.#ends.length) return;
      this.#stop();
      onEnd();
    });
  }

  get length(): number {
    return this.#ends[this.#given - 1] ?? 0;
  }

  from(position: number): Buffer {
    return this.#deltas.subarray(position, this.length);
  }

  [Symbol.dispose](): void {
    this.#stop();
  }
}

/** Where each message ends. */
function endsOf(deltas: Buffer): number[] {
  const ends: number[] = [];
  for (let at = 0; at < deltas.length; ) {
    at += PREFIX_BYTES + deltas.readUInt32BE(at + 1);
    ends.push(at);
  }
  return ends;
}
