/**
 * The user's folder of fetched models, and what lies in it:
 *
 *   FOLDER/NAME/sha256-HEX.gguf    weights, complete and checked
 *   FOLDER/NAME/verified.json      the marker of digest.ts
 *   FOLDER/NAME/*.partial, ...     what an interrupted pull left, for the next one to go on with
 *   FOLDER/.locks/NAME             who is pulling it
 */
import { lstat, mkdir, open, readdir, rm, statfs } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import envPaths from 'env-paths';
import { damaged, noSpace, unwritable } from './problems.ts';

export interface ModelFolder {
  readonly root: string;
  readonly folder: string;
  readonly marker: string;
  readonly lock: string;
  /** Where weights are put together before they are known to be right. */
  readonly target: string;
}

const WEIGHTS = /^sha256-([0-9a-f]{64})\.gguf$/;

/** @param root INFERMESH_MODELS or an option; the user's cache folder without it */
export function modelsRoot(root: string | undefined): string {
  return root ? resolve(root) : join(envPaths('infermesh', { suffix: '' }).cache, 'models');
}

/** @param name one that the catalogue's schema has let through */
export function folderOf(root: string, name: string): ModelFolder {
  const folder = join(root, name);
  return {
    root,
    folder,
    marker: join(folder, 'verified.json'),
    lock: join(root, '.locks', name),
    target: join(folder, 'weights.partial'),
  };
}

export function weightsPath(place: ModelFolder, sha256: string): string {
  return join(place.folder, `sha256-${sha256}.gguf`);
}

/**
 * @param sha256 undefined for catalogue entries without one: then the digest that they came with counts, their file's name
 * @returns complete weights and the digest that they must have, or undefined
 * @throws Fault MODEL_UNAVAILABLE when a link stands where the weights should
 */
export async function findWeights(name: string, place: ModelFolder, sha256: string | undefined) {
  const folder = await lstatOrNothing(place.folder);
  if (!folder) return undefined;
  if (!folder.isDirectory()) throw damaged(name, `cannot be used: ${place.folder} is not a folder, or is a link; remove it`);
  const digest = sha256 ?? (await readdir(place.folder)).flatMap((file) => WEIGHTS.exec(file)?.[1] ?? [])[0];
  if (digest === undefined) return undefined;
  const path = weightsPath(place, digest);
  const file = await lstatOrNothing(path);
  if (!file) return undefined;
  if (!file.isFile()) throw damaged(name, `cannot be used: ${path} is a link or a folder; remove it`);
  return { path, sizeBytes: file.size, sha256: digest };
}

/** Makes the folders. @throws Fault MODEL_UNAVAILABLE when they can't be written to */
export async function prepare(name: string, place: ModelFolder): Promise<void> {
  try {
    await mkdir(place.folder, { recursive: true });
    await mkdir(dirname(place.lock), { recursive: true });
  } catch (error) {
    throw unwritable(name, place.root, (error as NodeJS.ErrnoException).code ?? 'unknown', error);
  }
}

/** @param bytes what the pull will write in all; what lies there from an earlier one is not needed again */
export async function checkSpace(name: string, place: ModelFolder, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(place.folder);
  const needed = bytes - (await partialBytes(place));
  if (needed > bavail * bsize) throw noSpace(name, needed, bavail * bsize, place.root);
}

/** Bytes of an interrupted pull. */
export async function partialBytes(place: ModelFolder): Promise<number> {
  const files = await readdir(place.folder).catch(() => []);
  const partial = files.filter((file) => file !== basename(place.marker) && !file.startsWith('sha256-'));
  const sizes = await Promise.all(partial.map(async (file) => (await lstatOrNothing(join(place.folder, file)))?.size ?? 0));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Removes what isn't `keep` or the marker: partial files, and weights that an older catalogue named. */
export async function tidy(place: ModelFolder, keep: string): Promise<void> {
  const kept = [basename(keep), basename(place.marker)];
  const files = (await readdir(place.folder)).filter((file) => !kept.includes(file));
  await Promise.all(files.map((file) => rm(join(place.folder, file), { recursive: true, force: true })));
}

/** Makes a rename last over a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function lstatOrNothing(path: string) {
  return lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
}
