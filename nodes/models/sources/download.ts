/** One file over HTTP into a partial file, going on after an interruption where it stopped. */
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { isDiskError } from '../problems.ts';

/** Interruptions in a row that brought no byte, before it is given up. */
const RETRIES = 4;
const FIRST_PAUSE_MS = 300;
/** Silence of a connection that counts as an interruption. */
const STALL_MS = 30_000;
/** From a server that does not tell how much comes. */
const MOST_BYTES = 4e9;

/** A server that gives what cannot be right; asking it again would not help. The rest of a sentence that begins with it. */
export class BadDownload extends Error {}

/** Nobody's link decides where bytes from outside go. */
const APPEND = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;

export interface RangeResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: AsyncIterable<Buffer>;
}

export interface DownloadOptions {
  /** Asks for the bytes from `offset` on. Rejects with `statusCode` for an answer of 400 and above. */
  readonly request: (offset: number, signal: AbortSignal) => Promise<RangeResponse>;
  readonly path: string;
  /** Of the whole file, where known. */
  readonly sizeBytes?: number | undefined;
  readonly signal: AbortSignal;
  /** @param total 0 when the server doesn't tell */
  readonly onBytes: (received: number, total: number) => void;
}

/**
 * Resolves when the server has no more bytes; whether they are the right ones is the caller's to check.
 * @throws BadDownload, or what the last attempt failed with
 */
export async function download(options: DownloadOptions): Promise<void> {
  const file = await open(options.path, APPEND);
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
    const { start, total } = extentOf(response, options.sizeBytes);
    // A server without ranges begins at the beginning, and so must the file.
    if (start !== offset) await file.truncate(start === 0 ? 0 : offset);
    if (start !== offset && start !== 0) throw new Error('the server answered with another range');
    let received = start;
    options.onBytes(received, total);
    for await (const chunk of response.body) {
      watch.refresh();
      received += chunk.length;
      if (received > (total || MOST_BYTES)) throw new BadDownload('sends more than it told');
      await file.write(chunk);
      options.onBytes(received, total);
    }
    if (total > 0 && received < total) throw new Error('the connection ended early');
  } finally {
    clearTimeout(watch);
  }
}

function extentOf(response: RangeResponse, expected = 0): { readonly start: number; readonly total: number } {
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
  const partial = response.status === 206 && range !== null;
  const told = Number(partial ? range[2] : response.headers.get('content-length')) || 0;
  if (expected > 0 && told > 0 && told !== expected) throw new BadDownload(`gives ${told} bytes instead of ${expected}`);
  return { start: partial ? Number(range[1]) : 0, total: told || expected };
}

/** Whether asking once more may help: for a broken connection and a busy server, not for a refusal. */
function passes(error: unknown): boolean {
  if (isDiskError(error) || error instanceof BadDownload) return false;
  const status = statusOf(error);
  return status === undefined || status >= 500 || status === 408 || status === 429;
}

function statusOf(error: unknown): number | undefined {
  return (error as { statusCode?: number }).statusCode;
}
