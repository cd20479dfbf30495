import type { Fault } from '../../proto/contract/faults.ts';
import type { ClientStream } from '../../proto/transport/event-stream.ts';
import type { Kept } from '../attempt/kept.ts';
import type { Member } from './member.ts';

/** What generations see of their flight. */
export interface Readers {
  readonly isOver: boolean;
  /** Bytes that even the fastest of them has not taken. */
  readonly held: number;
  /** There is more of what is kept. */
  pump(): void;
  /** A piece that is not kept any more: who came now would miss some. */
  through(data: Buffer): void;
  /** @param leader whose generation failed, or never began; one that was followed by another has no say */
  failed(fault: Fault, leader: Member): void;
}

/** The stream that the leader's attempts write to: its pieces go to all members. */
export class Generation implements ClientStream {
  onRelease: () => void = () => {};
  onGone: () => void = () => {};
  readonly #readers: Readers;
  readonly #leader: Member;
  readonly #kept: Kept;

  constructor(readers: Readers, leader: Member, kept: Kept) {
    this.#readers = readers;
    this.#leader = leader;
    this.#kept = kept;
  }

  get held(): number {
    return this.#readers.held;
  }

  get open(): boolean {
    return !this.#readers.isOver;
  }

  write(data: Buffer): void {
    if (this.#kept.isWhole) this.#readers.pump();
    else this.#readers.through(data);
  }

  /** Its members are closed by the flight. */
  end(): void {}

  fail(fault: Fault): void {
    this.#readers.failed(fault, this.#leader);
  }
}
