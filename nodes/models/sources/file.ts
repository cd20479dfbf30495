/** Weights that already lie on this machine: bundled with infermesh, or an operator's own file. */
import { lstat, open, realpath } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { damaged } from '../problems.ts';

const BUNDLED = new URL('../bundled/', import.meta.url);

export function bundledPath(file: string): string {
  return fileURLToPath(new URL(file, BUNDLED));
}

/**
 * @returns the file's real path
 * @throws Fault MODEL_UNAVAILABLE when it isn't there, isn't a plain file, or doesn't begin like a GGUF
 */
export async function checkGguf(name: string, path: string): Promise<string> {
  const real = await realpath(path).catch((error: NodeJS.ErrnoException) => {
    throw damaged(name, `cannot be read from ${path} (${error.code})`, error);
  });
  if (!(await lstat(real)).isFile()) throw damaged(name, `are not at ${path}: that is not a file`);
  if (!(await beginsLikeGguf(real))) throw damaged(name, `at ${path} are not in GGUF format`);
  return real;
}

/** Four letters and a version of 2 or 3: enough to tell a model from a web page that was saved as one. */
async function beginsLikeGguf(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const head = Buffer.alloc(8);
    const { bytesRead } = await file.read(head, 0, 8, 0);
    return bytesRead === 8 && head.toString('latin1', 0, 4) === 'GGUF' && [2, 3].includes(head.readUInt32LE(4));
  } finally {
    await file.close();
  }
}
