/** Models on this machine: found, fetched, checked, removed. */
import { rm, stat } from 'node:fs/promises';
import { Fault } from '../../proto/contract/faults.ts';
import type { ModelSpec } from '../backends/backend.ts';
import type { Catalogue, CatalogueEntry } from './catalogue.ts';
import { entryOfFile, loadCatalogue } from './catalogue.ts';
import type { ModelFolder } from './folder.ts';
import { findWeights, folderOf, modelsRoot, partialBytes, prepare } from './folder.ts';
import { isFetched, locate } from './locate.ts';
import { withLock } from './lock.ts';
import { fetchAgain, unknownModel } from './problems.ts';
import { pull } from './pull.ts';
import { bundledPath } from './sources/file.ts';
import type { PullOptions } from './sources/progress.ts';

export type { PullOptions, PullProgress } from './sources/progress.ts';

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
   * @throws Fault MODEL_NOT_FOUND for a name that the catalogue doesn't have, MODEL_UNAVAILABLE for damaged weights
   */
  locate(name: string, options?: PullOptions): Promise<ModelSpec | undefined>;
  /**
   * As locate, and fetches what is missing or damaged. Interrupted, it goes on the next time where it stopped; called
   * by several processes, one of them fetches and the others wait for it.
   * @throws Fault MODEL_NOT_FOUND, UNREACHABLE, MODEL_UNAVAILABLE (digest, disk space), CANCELLED
   */
  pull(name: string, options?: PullOptions): Promise<ModelSpec>;
  /** The whole catalogue with what lies here. Looks at names and sizes only. */
  list(): Promise<ListedModel[]>;
  /** Hashes the weights again, whatever the marker says. @throws Fault MODEL_UNAVAILABLE when they are damaged or not here */
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
