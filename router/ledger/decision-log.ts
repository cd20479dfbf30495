/**
 * The decision log on disk: one JSON line for each entry, in files of a day and at most 64 MiB, kept for 30 days.
 *
 * It never holds a request up: entries go to a bounded buffer that is written now and then. Where they can't be written,
 * they are dropped and counted, with one warning for as long as it lasts. Several routers may share a folder: each write
 * is one append of whole lines.
 */
import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import type { LogEntry } from './decision-entry.ts';
import { lineOf } from './decision-entry.ts';

const FLUSH_MS = 100;
/** How long to leave a disk alone that refused. */
const RETRY_MS = 5000;
const DAY_MS = 86_400_000;
const FILE_NAME = /^decisions-(\d{4}-\d{2}-\d{2})(?:\.(\d+))?\.jsonl(?:\.gz)?$/;

export interface DecisionLogOptions {
  /** Made where it does not exist. */
  readonly folder: string;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
  /** Told once when entries begin to be lost; `code` such as ENOSPC. */
  readonly warn: (code: string) => void;
  /** Default: 64 MiB. */
  readonly maxFileBytes?: number;
  /** Of entries not yet written; default: 8 MiB. */
  readonly maxBufferBytes?: number;
  /** Default: 30. */
  readonly keepDays?: number;
}

export class DecisionLog {
  /** Entries that were lost, and that stand on the disk. */
  dropped = 0;
  written = 0;

  readonly #options: Required<DecisionLogOptions>;
  #lines: string[] = [];
  #bytes = 0;
  #cancelFlush: (() => void) | undefined;
  #writing: Promise<void> = Promise.resolve();
  #file: OpenFile | undefined;
  #retryAt = Number.NEGATIVE_INFINITY;
  #failing = false;
  #closed = false;

  constructor(options: DecisionLogOptions) {
    this.#options = { maxFileBytes: 64 * 2 ** 20, maxBufferBytes: 8 * 2 ** 20, keepDays: 30, ...options };
  }

  /** Never throws and never waits. */
  append(entry: LogEntry): void {
    const line = `${lineOf(entry)}\n`;
    const bytes = Buffer.byteLength(line);
    if (this.#closed || this.#bytes + bytes > this.#options.maxBufferBytes) {
      this.#lose(1, this.#closed ? 'CLOSED' : 'BUFFER_FULL');
      return;
    }
    this.#lines.push(line);
    this.#bytes += bytes;
    this.#cancelFlush ??= this.#options.clock.after(FLUSH_MS, () => this.flush());
  }

  /** Resolves when what was appended before is written or lost. */
  flush(): Promise<void> {
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  /** Writes what is left; appending afterwards loses. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#retryAt = Number.NEGATIVE_INFINITY;
    await this.flush();
    await this.#file?.handle.close().catch(() => {});
    this.#file = undefined;
  }

  async #write(): Promise<void> {
    const { clock } = this.#options;
    if (this.#lines.length === 0) return;
    if (clock.now() < this.#retryAt) {
      this.#cancelFlush ??= clock.after(this.#retryAt - clock.now(), () => this.flush());
      return;
    }
    const lines = this.#lines;
    this.#lines = [];
    this.#bytes = 0;
    try {
      await this.#append(lines.join(''));
      this.written += lines.length;
      this.#failing = false;
    } catch (error) {
      this.#retryAt = clock.now() + RETRY_MS;
      await this.#file?.handle.close().catch(() => {});
      this.#file = undefined;
      this.#lose(lines.length, (error as NodeJS.ErrnoException).code ?? 'UNKNOWN');
    }
  }

  /** A write that stops half-way leaves half a line, which the next one ends: see `opened`. */
  async #append(text: string): Promise<void> {
    const { handle, start } = await this.#current();
    const bytes = Buffer.from(start + text);
    const { bytesWritten } = await handle.write(bytes);
    if (bytesWritten < bytes.length) throw Object.assign(new Error('the disk took only a part'), { code: 'ENOSPC' });
  }

  /** Today's file that is not yet full, and what must stand before the next line. */
  async #current(): Promise<{ handle: FileHandle; start: string }> {
    const { folder, wallClock, maxFileBytes } = this.#options;
    const day = new Date(wallClock()).toISOString().slice(0, 10);
    const held = this.#file;
    if (held?.day === day && (await isGood(held.handle, maxFileBytes))) return { handle: held.handle, start: '' };
    await held?.handle.close();
    this.#file = undefined;
    if (held?.day !== day) await this.#tidy(day);
    for (let index = 0; ; index++) {
      const file = { ...(await opened(join(folder, fileName(day, index)))), day };
      this.#file = file;
      if (file.size < maxFileBytes) return { handle: file.handle, start: file.torn ? '\n' : '' };
      await file.handle.close();
    }
  }

  /** Removes what is older than it should get. */
  async #tidy(today: string): Promise<void> {
    const { folder, keepDays } = this.#options;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const oldest = new Date(Date.parse(today) - keepDays * DAY_MS).toISOString().slice(0, 10);
    for (const name of await readdir(folder)) {
      const day = FILE_NAME.exec(name)?.[1];
      // One that stays, because another router was faster or it is not ours, is no reason to stop writing.
      if (day !== undefined && day < oldest) await unlink(join(folder, name)).catch(() => {});
    }
  }

  #lose(entries: number, code: string): void {
    this.dropped += entries;
    if (!this.#failing) this.#options.warn(code);
    this.#failing = true;
  }
}

interface OpenFile {
  readonly handle: FileHandle;
  readonly day: string;
}

function fileName(day: string, index: number): string {
  return `decisions-${day}${index > 0 ? `.${index}` : ''}.jsonl`;
}

/** Not full, and still where readers find it: an operator may have removed it. */
async function isGood(handle: FileHandle, maxBytes: number): Promise<boolean> {
  const { size, nlink } = await handle.stat();
  return size < maxBytes && nlink > 0;
}

/** `torn`: its last line has no end, because whoever wrote it died or the disk was full. */
async function opened(path: string): Promise<{ handle: FileHandle; size: number; torn: boolean }> {
  const handle = await open(path, 'a+', 0o600);
  try {
    const { size } = await handle.stat();
    const last = Buffer.alloc(1);
    if (size > 0) await handle.read(last, 0, 1, size - 1);
    return { handle, size, torn: size > 0 && last[0] !== 0x0a };
  } catch (error) {
    await handle.close();
    throw error;
  }
}
