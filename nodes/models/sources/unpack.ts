/** One file out of an npm tarball, streamed, without a temporary copy. */
import { createReadStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadEntry } from 'tar';
import { Parser } from 'tar';

export interface UnpackOptions {
  readonly archive: string;
  /** Path inside the package, without the archive's top folder. */
  readonly file: string;
  readonly output: FileHandle;
  /** More bytes than this are refused: an archive can unpack to far more than it weighs. */
  readonly limitBytes: number;
  readonly signal: AbortSignal;
  readonly onBytes: (written: number) => void;
}

/** @returns the bytes written, or undefined when the archive has no such file */
export async function unpackInto(options: UnpackOptions): Promise<number | undefined> {
  let copied: Promise<number> | undefined;
  const parser = new Parser({
    strict: true,
    filter: (path) => copied === undefined && withoutTopFolder(path) === options.file,
    onReadEntry: (entry) => {
      copied = copy(entry, options);
      // The parser waits for its entry; failing it is what ends the pipeline below.
      copied.catch((error: Error) => parser.abort(error));
    },
  });
  // The parser has the writable half that pipeline needs, without being one of Node's own streams.
  await pipeline(createReadStream(options.archive), parser as unknown as Writable, { signal: options.signal });
  return copied;
}

async function copy(entry: ReadEntry, options: UnpackOptions): Promise<number> {
  if (entry.type !== 'File' && entry.type !== 'OldFile') throw new Error('it is not a plain file');
  let written = 0;
  for await (const chunk of entry as AsyncIterable<Buffer>) {
    written += chunk.length;
    if (written > options.limitBytes) throw new Error('it is larger than it should be');
    await options.output.write(chunk);
    options.onBytes(written);
  }
  return written;
}

function withoutTopFolder(path: string): string {
  return path.slice(path.indexOf('/') + 1);
}
