/** Weights that already lie on this machine: bundled with infermesh, or an operator's own file. */
import { lstat, realpath } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { ModelFacts } from '../gguf/facts.ts';
import { factsOf } from '../gguf/facts.ts';
import { readGgufHeader } from '../gguf/file.ts';
import { BadGguf } from '../gguf/reader.ts';
import { damaged } from '../problems.ts';

const BUNDLED = new URL('../bundled/', import.meta.url);

export function bundledPath(file: string): string {
  return fileURLToPath(new URL(file, BUNDLED));
}

/**
 * @returns the file's real path
 * @throws Fault MODEL_UNAVAILABLE when it isn't there or isn't a plain file
 */
export async function plainFile(name: string, path: string): Promise<string> {
  const real = await realpath(path).catch((error: NodeJS.ErrnoException) => {
    throw damaged(name, `cannot be read from ${path} (${error.code})`, error);
  });
  if (!(await lstat(real)).isFile()) throw damaged(name, `are not at ${path}: that is not a file`);
  return real;
}

/**
 * Looks at all that a GGUF says before its weights begin.
 * @returns what it tells of its model
 * @throws Fault MODEL_UNAVAILABLE when it is no GGUF, cut short, or claims what cannot be
 */
export async function checkGguf(name: string, path: string): Promise<ModelFacts> {
  try {
    const header = await readGgufHeader(path);
    const parts = header.metadata.get('split.count');
    if (typeof parts === 'number' && parts > 1) {
      throw new BadGguf(`is one of ${parts} parts of a model; join them with: llama-gguf-split --merge FIRST.gguf WHOLE.gguf`);
    }
    return factsOf(header);
  } catch (error) {
    if (error instanceof BadGguf) throw damaged(name, `cannot be used: ${path} ${error.message}`, error);
    throw damaged(name, `cannot be read from ${path} (${(error as NodeJS.ErrnoException).code})`, error);
  }
}
