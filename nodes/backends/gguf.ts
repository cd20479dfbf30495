/** A first look at a weights file, so that the common mistakes get an answer that says what to do. */
import { open } from 'node:fs/promises';
import { Fault } from '../../proto/contract/faults.ts';

/** Magic, version, number of tensors, number of metadata entries. */
const HEADER_BYTES = 24;
const KNOWN_VERSIONS = [2, 3];

/** @throws Fault ENGINE_FAILED when the file is missing, unreadable or does not begin like a GGUF file */
export async function checkGgufHeader(path: string): Promise<void> {
  const header = await readHeader(path);
  if (header.length < HEADER_BYTES) throw unusable(path, `it has only ${header.length} bytes; fetch it again`);
  if (header.toString('latin1', 0, 4) !== 'GGUF') {
    throw unusable(path, 'it is not a GGUF file; name one that ends in .gguf, or fetch it again');
  }
  const version = header.readUInt32LE(4);
  if (!KNOWN_VERSIONS.includes(version)) {
    throw unusable(path, `its GGUF version is ${version}, and only ${KNOWN_VERSIONS.join(' and ')} can be read; convert it anew`);
  }
}

export function unusable(path: string, why: string, cause?: unknown): Fault {
  return new Fault('ENGINE_FAILED', `cannot load ${path}: ${why}`, { cause });
}

async function readHeader(path: string): Promise<Buffer> {
  try {
    await using file = await open(path, 'r');
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw unusable(path, code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code})`, error);
  }
}
