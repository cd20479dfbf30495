/** The header of a GGUF file on disk. */
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import type { GgufHeader } from './header.ts';
import { readHeader } from './header.ts';

const WINDOW_BYTES = 256 << 10;

/**
 * Reads the header alone, a window at a time, so that others run in between.
 * @throws BadGguf for what is wrong with the file, and what the file system says
 */
export async function readGgufHeader(path: string): Promise<GgufHeader> {
  await using file = await open(path, 'r');
  const { size } = await file.stat();
  const reading = readHeader(size);
  for (let step = reading.next(); ; ) {
    if (step.done) return step.value;
    step = reading.next(await windowAt(file, step.value));
  }
}

async function windowAt(file: FileHandle, offset: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(WINDOW_BYTES), 0, WINDOW_BYTES, offset);
  return buffer.subarray(0, bytesRead);
}
