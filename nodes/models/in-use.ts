/** Which processes of this machine hold weights in memory: engines map them, and Linux lists what is mapped. */
import { readdir, readFile } from 'node:fs/promises';

/**
 * @param paths absolute
 * @param proc where Linux tells about its processes
 * @returns process ids; empty too where the system does not tell, as for those of other users
 */
export async function processesUsing(paths: readonly string[], proc = '/proc'): Promise<number[]> {
  const ids = (await readdir(proc).catch(() => [])).filter((name) => /^\d+$/.test(name));
  const using: number[] = [];
  for (const id of ids) {
    const maps = await readFile(`${proc}/${id}/maps`, 'utf8').catch(() => '');
    if (paths.some((path) => maps.includes(` ${path}\n`))) using.push(Number(id));
  }
  return using;
}
