/** One file over HTTP into a partial file, going on after an interruption where it stopped. */
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { isDiskError } from '../problems.ts';

/** Interruptions in a row that brought no byte, before it is given up. */
const RETRIES = 4;
const FIRST_PAUSE_MS = 300;
/** Silence of a connection that counts as an interruption. */
const STALL_MS = 30_000;

export interface RangeResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: AsyncIterable<Buffer>;
}

export interface DownloadOptions {
  /** Asks for the bytes from `offset` on. Rejects with `statusCode` for an answer of 400 and above. */
  readonly request: (offset: number, signal: AbortSignal) => Promise<RangeResponse>;
  readonly path: string;
  readonly signal: AbortSignal;
  /** @param total 0 when the server doesn't tell */
  readonly onBytes: (received: number, total: number) => void;
}

/** Resolves when the server has no more bytes; whether they are the right ones is the caller's to check. */
export async function download(options: DownloadOptions): Promise<void> {
  const file = await open(options.path, 'a');
  try {
    for (let failures = 0; ; ) {
      const before = (await file.stat()).size;
      try {
        return await receive(file, before, options);
      } catch (error) {
        options.signal.throwIfAborted();
        if (statusOf(error) === 416 && before > 0) return; // Nothing after what is here.
        if (!passes(error)) throw error;
        failures = (await file.stat()).size > before ? 1 : failures + 1;
        if (failures > RETRIES) throw error;
        await pause(FIRST_PAUSE_MS * 2 ** (failures - 1), undefined, { signal: options.signal });
      }
    }
  } finally {
    await file.close();
  }
}

async function receive(file: FileHandle, offset: number, options: DownloadOptions): Promise<void> {
  const stall = new AbortController();
  const watch = setTimeout(() => stall.abort(new Error('the connection fell silent')), STALL_MS);
  try {
    const response = await options.request(offset, AbortSignal.any([options.signal, stall.signal]));
    const { start, total } = extentOf(response);
    // A server without ranges begins at the beginning, and so must the file.
    if (start !== offset) await file.truncate(start === 0 ? 0 : offset);
    if (start !== offset && start !== 0) throw new Error('the server answered with another range');
    let received = start;
    options.onBytes(received, total);
    for await (const chunk of response.body) {
      watch.refresh();
      await file.write(chunk);
      received += chunk.length;
      options.onBytes(received, total);
    }
    if (total > 0 && received < total) throw new Error('the connection ended early');
  } finally {
    clearTimeout(watch);
  }
}

function extentOf(response: RangeResponse): { readonly start: number; readonly total: number } {
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
  if (response.status === 206 && range) return { start: Number(range[1]), total: Number(range[2]) || 0 };
  return { start: 0, total: Number(response.headers.get('content-length')) || 0 };
}

/** Whether asking once more may help: for a broken connection and a busy server, not for a refusal. */
function passes(error: unknown): boolean {
  if (isDiskError(error)) return false;
  const status = statusOf(error);
  return status === undefined || status >= 500 || status === 408 || status === 429;
}

function statusOf(error: unknown): number | undefined {
  return (error as { statusCode?: number }).statusCode;
}
