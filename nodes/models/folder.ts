/**
 * The user's folder of fetched models, and what lies in it:
 *
 *   FOLDER/NAME/sha256-HEX.gguf      weights, complete and checked; several are versions of the model. Or .onnx
 *   FOLDER/NAME/sha256-HEX.verified  the marker of digest.ts for them
 *   FOLDER/NAME/sha256-HEX.FILE      a file that the engine needs beside the weights
 *   FOLDER/NAME/verified.json        the marker of weights that lie elsewhere: bundled, or the operator's own
 *   FOLDER/NAME/*.partial            what an interrupted pull left, for the next one to go on with
 *   FOLDER/.locks/NAME               who is pulling it
 */
import { lstat, mkdir, open, readdir, rm, statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import envPaths from 'env-paths';
import { damaged, noSpace, unwritable } from './problems.ts';
import type { Format } from './source.ts';

export interface ModelFolder {
  readonly root: string;
  readonly folder: string;
  readonly marker: string;
  readonly lock: string;
  /** Where a file is put together before it is known to be right. */
  readonly target: string;
}

/** Complete weights, and the digest that they must have. */
export interface Weights {
  readonly path: string;
  readonly sha256: string;
  readonly sizeBytes: number;
  /** When they came, in milliseconds since 1970. */
  readonly cameAt: number;
}

const WEIGHTS = /^sha256-([0-9a-f]{64})\.(?:gguf|onnx)$/;
const CHECKED = /^sha256-[0-9a-f]{64}\./;

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

export function weightsPath(place: ModelFolder, sha256: string, format: Format): string {
  return join(place.folder, `sha256-${sha256}.${format}`);
}

/** @param file its name in the catalogue */
export function besidePath(place: ModelFolder, sha256: string, file: string): string {
  return join(place.folder, `sha256-${sha256}.${file}`);
}

export function markerOf(place: ModelFolder, path: string): string {
  return dirname(path) === place.folder ? path.replace(/\.[a-z]+$/, '.verified') : place.marker;
}

/**
 * All versions that lie here, the one that came last first.
 * @throws Fault MODEL_UNAVAILABLE when a link stands where the weights should
 */
export async function findVersions(name: string, place: ModelFolder): Promise<Weights[]> {
  const folder = await lstatOrNothing(place.folder);
  if (!folder) return [];
  if (!folder.isDirectory()) throw damaged(name, `cannot be used: ${place.folder} is not a folder, or is a link; remove it`);
  const found: Weights[] = [];
  for (const file of await readdir(place.folder)) {
    const sha256 = WEIGHTS.exec(file)?.[1];
    if (sha256 === undefined) continue;
    const path = join(place.folder, file);
    const weights = await lstatOrNothing(path);
    if (weights && !weights.isFile()) throw damaged(name, `cannot be used: ${path} is a link or a folder; remove it`);
    if (weights) found.push({ path, sha256, sizeBytes: weights.size, cameAt: weights.mtimeMs });
  }
  return found.sort((a, b) => b.cameAt - a.cameAt || (a.sha256 < b.sha256 ? -1 : 1));
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
  const partial = files.filter((file) => file.endsWith('.partial'));
  const sizes = await Promise.all(partial.map(async (file) => (await lstatOrNothing(join(place.folder, file)))?.size ?? 0));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Removes all but what was checked: what interrupted pulls left. */
export async function tidy(place: ModelFolder): Promise<void> {
  const files = (await readdir(place.folder)).filter((file) => !CHECKED.test(file));
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
