/** Files that an engine needs beside the weights: fetched with them, and held to the digests of the catalogue. */
import { lstat, rename, rm } from 'node:fs/promises';
import { sha256Of } from './digest.ts';
import type { ModelFolder } from './folder.ts';
import { besidePath } from './folder.ts';
import { fetchAgain } from './problems.ts';
import type { CatalogueEntry } from './schema.ts';
import type { FetchOptions } from './sources/progress.ts';

type File = CatalogueEntry['files'][string];

/** Names to absolute paths; undefined where one is missing or damaged, and the model must be pulled. */
export async function findBeside(entry: CatalogueEntry, place: ModelFolder): Promise<Record<string, string> | undefined> {
  const found: Record<string, string> = {};
  for (const [name, file] of Object.entries(entry.files)) {
    const path = besidePath(place, file.sha256, name);
    if (!(await isWhole(path, file))) return undefined;
    found[name] = path;
  }
  return found;
}

/** @param fetch brings one into `place.target` */
export async function fetchBeside(
  entry: CatalogueEntry,
  place: ModelFolder,
  fetch: (file: File) => Promise<void>,
  signal: FetchOptions['signal'],
): Promise<void> {
  for (const [name, file] of Object.entries(entry.files)) {
    const path = besidePath(place, file.sha256, name);
    if (await isWhole(path, file)) continue;
    await rm(place.target, { force: true });
    await fetch(file);
    if ((await sha256Of(place.target, { signal })) !== file.sha256) {
      await rm(place.target, { force: true });
      throw fetchAgain(entry.name, `came with a damaged ${name}: its digest is not the one of the catalogue, and it was removed`);
    }
    await rename(place.target, path);
  }
}

/** They are small beside the weights, so no marker saves their hashing. */
async function isWhole(path: string, { size_bytes, sha256 }: File): Promise<boolean> {
  const file = await lstat(path).catch(() => undefined);
  return file?.isFile() === true && file.size === size_bytes && (await sha256Of(path)) === sha256;
}
