/** Models on this machine: found, fetched, checked, removed. */
import { rm, stat } from 'node:fs/promises';
import { Fault } from '../../proto/contract/faults.ts';
import type { ModelSpec } from '../backends/backend.ts';
import type { Catalogue, CatalogueEntry } from './catalogue.ts';
import { entryOfFile, loadCatalogue } from './catalogue.ts';
import type { ModelFolder, Weights } from './folder.ts';
import { findVersions, folderOf, markerOf, modelsRoot, partialBytes, prepare } from './folder.ts';
import { processesUsing } from './in-use.ts';
import { find, isFetched, locate } from './locate.ts';
import { withLock } from './lock.ts';
import { fetchAgain, noVersion, unknownModel } from './problems.ts';
import { pull } from './pull.ts';
import { sourceText } from './source.ts';
import { bundledPath } from './sources/file.ts';
import type { PullOptions } from './sources/progress.ts';
import type { Wanted } from './version.ts';
import { choose, parseWanted, versionName } from './version.ts';

export type { PullOptions, PullProgress } from './sources/progress.ts';

export interface ListedModel {
  readonly entry: CatalogueEntry;
  /** Where its weights come from, as a catalogue writes it; one for each part. */
  readonly sources: readonly string[];
  /** present: complete weights lie here. partial: an interrupted pull. absent: it must be pulled before it can serve. */
  readonly state: 'present' | 'partial' | 'absent';
  /** What lies here of the version that NAME alone means. */
  readonly bytes: number;
  /** Fetched ones that lie here, the one that came last first. */
  readonly versions: readonly ModelVersion[];
}

export interface ModelVersion {
  /** NAME@ and the first 8 digits of the digest. */
  readonly name: string;
  /** sha256:HEX */
  readonly digest: string;
  readonly bytes: number;
  /** NAME alone means this one. */
  readonly current: boolean;
}

/**
 * Every method takes a name of the catalogue, or file:/ABSOLUTE/PATH of weights. NAME@DIGEST, with the first 8 to 64 digits
 * of a sha256, is one version of a model; all else that is said of it holds for each version.
 */
export interface ModelStore {
  /** Where fetched models are kept. */
  readonly root: string;
  readonly catalogue: Catalogue;
  /**
   * The model with its weights, or undefined when they must be pulled first. Weights are hashed when first seen.
   * @throws Fault MODEL_NOT_FOUND for a name that the catalogue doesn't have and a version that nobody knows,
   *   INVALID_REQUEST for digits that are none or fit several versions, MODEL_UNAVAILABLE for damaged weights
   */
  locate(name: string, options?: PullOptions): Promise<ModelSpec | undefined>;
  /**
   * As locate, and fetches what is missing or damaged, beside the versions that are here. Interrupted, it goes on the next
   * time where it stopped; called by several processes, one of them fetches and the others wait for it.
   * @throws Fault as locate, and UNREACHABLE, MODEL_UNAVAILABLE (digest, disk space), CANCELLED
   */
  pull(name: string, options?: PullOptions): Promise<ModelSpec>;
  /** The whole catalogue with what lies here. Looks at names and sizes only. */
  list(): Promise<ListedModel[]>;
  /** Hashes the weights again, whatever the marker says. @throws Fault MODEL_UNAVAILABLE when they are damaged or not here */
  verify(name: string, options?: PullOptions): Promise<ModelSpec>;
  /**
   * Removes all that was fetched of a model and what interrupted pulls left, or one version.
   * @throws Fault UNSUPPORTED for weights that weren't fetched, or that a process of this machine has in memory unless
   *   `force` is set
   */
  remove(name: string, options?: { readonly force?: boolean }): Promise<void>;
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
  const seek = (text: string) => {
    const wanted = parseWanted(text);
    const entry = text.startsWith('file:') ? entryOfFile(text) : catalogue.models.get(wanted.name);
    if (!entry) throw unknownModel(catalogue.models.keys());
    return { wanted, entry, place: folderOf(root, entry.name) };
  };

  return {
    root,
    catalogue,
    async locate(name, given = {}) {
      const { entry, wanted, place } = seek(name);
      return locate(entry, wanted, place, given);
    },
    async pull(name, given = {}) {
      const { entry, wanted, place } = seek(name);
      return pull(entry, wanted, place, given);
    },
    list: () => Promise.all([...catalogue.models.values()].map((entry) => describe(entry, folderOf(root, entry.name)))),
    async verify(name, given = {}) {
      const { entry, wanted, place } = seek(name);
      const found = await find(entry, wanted, place);
      if (found) await rm(markerOf(place, found.path), { force: true });
      const model = await locate(entry, wanted, place, given);
      if (!model) throw fetchAgain(entry.name, 'are not here');
      return model;
    },
    async remove(name, { force = false } = {}) {
      const { entry, wanted, place } = seek(name);
      await remove(entry, wanted, place, force);
    },
  };
}

async function remove(entry: CatalogueEntry, wanted: Wanted, place: ModelFolder, force: boolean): Promise<void> {
  const { name } = entry;
  if (!isFetched(entry)) throw new Fault('UNSUPPORTED', `${name} was not fetched, so there is nothing to remove`);
  await prepare(name, place);
  await withLock(place.lock, {}, async () => {
    const versions = await findVersions(name, place);
    const chosen = wanted.digest === undefined ? undefined : choose(wanted, versions);
    if (wanted.digest !== undefined && !chosen) {
      throw noVersion(
        name,
        wanted.digest,
        versions.map(({ sha256 }) => versionName(name, sha256)),
      );
    }
    const going = chosen ? [chosen] : versions;
    if (!force) await refuseInUse(name, going);
    if (going.length === versions.length) return rm(place.folder, { recursive: true, force: true });
    await rm(markerOf(place, chosen!.path), { force: true });
    await rm(chosen!.path, { force: true });
  });
}

async function refuseInUse(name: string, versions: readonly Weights[]): Promise<void> {
  const processes = versions.length === 0 ? [] : await processesUsing(versions.map(({ path }) => path));
  if (processes.length === 0) return;
  const who = processes.length === 1 ? `process ${processes[0]} has` : `processes ${processes.join(', ')} have`;
  throw new Fault('UNSUPPORTED', `${name} is in use: ${who} it in memory; unload it there first`, { facts: { model: name } });
}

async function describe(entry: CatalogueEntry, place: ModelFolder): Promise<ListedModel> {
  const { source } = entry;
  const sources = sourceText(source);
  if (source.type === 'bundled' || source.type === 'file') {
    const path = source.type === 'bundled' ? bundledPath(source.file) : source.path;
    const bytes = await stat(path)
      .then((file) => file.size)
      .catch(() => 0);
    return { entry, sources, state: bytes > 0 ? 'present' : 'absent', bytes, versions: [] };
  }
  const found = await findVersions(entry.name, place).catch(() => []);
  const current = entry.sha256 === undefined ? found[0] : found.find(({ sha256 }) => sha256 === entry.sha256);
  const versions = found.map((version) => ({
    name: versionName(entry.name, version.sha256),
    digest: `sha256:${version.sha256}`,
    bytes: version.sizeBytes,
    current: version === current,
  }));
  if (current) return { entry, sources, state: 'present', bytes: current.sizeBytes, versions };
  const bytes = await partialBytes(place);
  return { entry, sources, state: bytes > 0 ? 'partial' : 'absent', bytes, versions };
}
