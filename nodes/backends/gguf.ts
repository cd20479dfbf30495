/** A look at a weights file before llama.cpp gets it: whoever made it may want to break what reads it. */
import { Fault } from '../../proto/contract/faults.ts';
import { readGgufHeader } from '../models/gguf/file.ts';
import type { GgufHeader } from '../models/gguf/header.ts';
import { BadGguf } from '../models/gguf/reader.ts';

/** @throws Fault ENGINE_FAILED when the file is missing, unreadable, no GGUF, cut short, or claims what cannot be */
export async function readWeightsHeader(path: string): Promise<GgufHeader> {
  try {
    return await readGgufHeader(path);
  } catch (error) {
    if (error instanceof BadGguf) throw unusable(path, `it ${error.message}; fetch it again`, error);
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw unusable(path, code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code})`, error);
  }
}

export function unusable(path: string, why: string, cause?: unknown): Fault {
  return new Fault('ENGINE_FAILED', `cannot load ${path}: ${why}`, { cause });
}
