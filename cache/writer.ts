/** Writes to the store behind the requests that made them, bounded: what is too much is lost, and told. */
import type { Store } from './port.ts';

/** Of values that wait to be written or are being written. */
const MOST_BYTES = 16 << 20;
/** At the same time; the others wait. */
const MOST_WRITES = 64;
/** Begun in one turn of the event loop: sealing as many takes a millisecond or two. */
const WRITES_PER_TURN = 16;
/** Beside the value. */
const WRITE_BYTES = 512;

export interface Write {
  readonly name: string;
  /** What counts against the bound, about as large as what is written. */
  readonly bytes: number;
  readonly ttlMs: number;
  /** Made when its turn has come. Undefined: not to be written after all. */
  readonly value: () => Buffer | undefined;
  /** Unless another one has taken its place, or it was to be forgotten. @param isWritten false: lost */
  readonly onEnd: (isWritten: boolean) => void;
}

export class Writer {
  readonly #store: Store;
  readonly #onDropping: () => void;
  readonly #waiting = new Map<string, Write>();
  #bytes = 0;
  #running = 0;
  #scheduled = false;
  #dropping = false;
  #idle = Promise.withResolvers<void>();
  /** Writes that were not made because too many waited. */
  dropped = 0;

  /** @param onDropping told when writes begin to be lost, and again only after all that waited was written */
  constructor(store: Store, onDropping: () => void) {
    this.#store = store;
    this.#onDropping = onDropping;
  }

  /** A later write of the same name takes the place of one that waits. */
  write(write: Write): void {
    this.forget(write.name);
    if (this.#bytes + write.bytes > MOST_BYTES) {
      this.dropped++;
      if (!this.#dropping) this.#onDropping();
      this.#dropping = true;
      write.onEnd(false);
      return;
    }
    this.#waiting.set(write.name, write);
    this.#bytes += costOf(write);
    this.#schedule();
  }

  /** One that has not begun is not made. */
  forget(name: string): void {
    const write = this.#waiting.get(name);
    if (!write) return;
    this.#waiting.delete(name);
    this.#bytes -= costOf(write);
    this.#settle();
  }

  forgetAll(prefix: string): void {
    for (const name of this.#waiting.keys()) if (name.startsWith(prefix)) this.forget(name);
  }

  /** Resolves when nothing waits or is being written. */
  async idle(): Promise<void> {
    while (this.#bytes > 0) await this.#idle.promise;
  }

  /** Sealing takes time of the processor, so it waits until the turn that gave the answer is over. */
  #schedule(): void {
    if (this.#scheduled || this.#running >= MOST_WRITES) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#next();
    });
  }

  #next(): void {
    for (const write of this.#firstWaiting(Math.min(WRITES_PER_TURN, MOST_WRITES - this.#running))) {
      this.#waiting.delete(write.name);
      this.#begin(write);
    }
    if (this.#waiting.size > 0) this.#schedule();
  }

  #firstWaiting(most: number): Write[] {
    const first: Write[] = [];
    for (const write of this.#waiting.values()) {
      if (first.length === most) break;
      first.push(write);
    }
    return first;
  }

  #begin(write: Write): void {
    this.#running++;
    void this.#run(write).finally(() => {
      this.#running--;
      this.#bytes -= costOf(write);
      this.#settle();
      if (this.#waiting.size > 0) this.#schedule();
    });
  }

  async #run({ name, value, ttlMs, onEnd }: Write): Promise<void> {
    const sealed = value();
    onEnd(sealed !== undefined && (await this.#store.set(name, sealed, ttlMs)));
  }

  #settle(): void {
    if (this.#bytes > 0) return;
    this.#dropping = false;
    this.#idle.resolve();
    this.#idle = Promise.withResolvers<void>();
  }
}

function costOf({ bytes }: Write): number {
  return bytes + WRITE_BYTES;
}
