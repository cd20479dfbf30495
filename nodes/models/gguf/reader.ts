/**
 * Reads the parts of a GGUF file one after the other, whatever it claims of their sizes. It holds one window of the file
 * and does no I/O: it yields the offset that it needs bytes from and is given them. Pure.
 */

/** What is wrong with a file, as the rest of a sentence that begins with it. */
export class BadGguf extends Error {}

/** Yields an offset in the file; is given what lies there, empty at the file's end. */
export type Reading<T> = Generator<number, T, Buffer>;

/** The largest headers hold vocabularies of 260,000 words, which are 25 MB. */
export const MAX_HEADER_BYTES = 64 << 20;

export class GgufReader {
  readonly fileBytes: number;
  #window: Buffer = Buffer.alloc(0);
  /** Where the window lies in the file. */
  #start = 0;
  /** Within the window; beyond it after a skip. */
  #at = 0;

  constructor(fileBytes: number) {
    this.fileBytes = fileBytes;
  }

  get offset(): number {
    return this.#start + this.#at;
  }

  get bytesLeft(): number {
    return this.fileBytes - this.offset;
  }

  *u32(): Reading<number> {
    yield* this.#need(4);
    this.#at += 4;
    return this.#window.readUInt32LE(this.#at - 4);
  }

  /** Beyond 2^53 it is not exact, and beyond every bound either way. */
  *u64(): Reading<number> {
    yield* this.#need(8);
    this.#at += 8;
    return Number(this.#window.readBigUInt64LE(this.#at - 8));
  }

  /** @param bytes 1 to 8 */
  *number(bytes: number, read: (from: Buffer, at: number) => number): Reading<number> {
    yield* this.#need(bytes);
    this.#at += bytes;
    return read(this.#window, this.#at - bytes);
  }

  /** @returns undefined for one that is longer than `keep` bytes, which is passed over */
  *string(keep: number, what: string): Reading<string | undefined> {
    const length = yield* this.u64();
    if (length > keep) {
      this.skip(length, what);
      return undefined;
    }
    yield* this.#need(length);
    this.#at += length;
    return this.#window.toString('utf8', this.#at - length, this.#at);
  }

  /** Passes over strings without a generator's turn for each. */
  *skipStrings(count: number, what: string): Reading<void> {
    for (let index = 0; index < count; index++) {
      if (this.#at + 8 > this.#window.length) yield* this.#need(8);
      const high = this.#window.readUInt32LE(this.#at + 4);
      const length = this.#window.readUInt32LE(this.#at) + high * 2 ** 32;
      this.#at += 8;
      this.skip(length, what);
    }
  }

  skip(bytes: number, what: string): void {
    if (bytes > this.bytesLeft) {
      throw new BadGguf(`is cut short or corrupt: ${what} takes ${bytes} bytes, and ${this.bytesLeft} are left`);
    }
    this.#at += bytes;
    this.#checkBound();
  }

  *#need(bytes: number): Reading<void> {
    while (this.#at + bytes > this.#window.length) {
      this.#checkBound();
      const rest = this.#window.subarray(Math.min(this.#at, this.#window.length));
      const from = this.offset + rest.length;
      const more = yield from;
      if (more.length === 0) throw new BadGguf(`is cut short: it ends after ${this.fileBytes} bytes, within its header`);
      this.#start = this.offset;
      this.#at = 0;
      this.#window = rest.length === 0 ? more : Buffer.concat([rest, more]);
    }
  }

  #checkBound(): void {
    if (this.offset > MAX_HEADER_BYTES) throw new BadGguf(`has a header of more than ${MAX_HEADER_BYTES} bytes`);
  }
}
