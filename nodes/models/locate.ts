/** From a catalogue entry to weights on this machine that are known to be right. */
import { rm, stat } from 'node:fs/promises';
import type { ModelSpec } from '../backends/backend.ts';
import { findBeside } from './beside.ts';
import { knownDigest } from './digest.ts';
import type { ModelFolder } from './folder.ts';
import { findVersions, markerOf } from './folder.ts';
import type { ModelFacts } from './gguf/facts.ts';
import { damaged, fetchAgain, noVersion } from './problems.ts';
import type { CatalogueEntry } from './schema.ts';
import { UNKNOWN } from './schema.ts';
import { formatOf } from './source.ts';
import { bundledPath, checkGguf, plainFile } from './sources/file.ts';
import type { PullOptions } from './sources/progress.ts';
import type { Wanted } from './version.ts';
import { choose, versionName } from './version.ts';

/** A file that may hold the weights that are wanted. */
export interface Found {
  readonly path: string;
  /** The digest that it must have; absent for an operator's own file without one. */
  readonly expected: string | undefined;
}

/** Whether its weights lie in the user's folder, and can be fetched again. */
export function isFetched({ source }: CatalogueEntry): boolean {
  return source.type === 'npm' || source.type === 'hf';
}

/** As ModelStore.locate. */
export async function locate(
  entry: CatalogueEntry,
  wanted: Wanted,
  place: ModelFolder,
  options: PullOptions,
): Promise<ModelSpec | undefined> {
  const found = await find(entry, wanted, place);
  if (found === undefined) return undefined;
  const { path, expected } = found;
  // Before all of it is read: what an operator names may be anything. An older version may be other than its entry says.
  const older = entry.sha256 !== undefined && expected !== entry.sha256;
  const looks = (entry.source.type === 'file' || older) && formatOf(entry.source) === 'gguf';
  const facts = looks ? await checkGguf(entry.name, path) : undefined;
  const { size } = await stat(path);
  const wrong = isFetched(entry) ? fetchAgain : damaged;
  if (entry.sha256 !== undefined && entry.sha256 === expected && size !== entry.size_bytes) {
    throw wrong(entry.name, `are damaged: ${size} bytes instead of ${entry.size_bytes}`);
  }
  const onProgress = (read: number) => options.onProgress?.({ phase: 'verifying', downloadedBytes: read, totalBytes: size });
  const sha256 = await knownDigest(path, markerOf(place, path), { signal: options.signal, onProgress });
  if (expected !== undefined && sha256 !== expected) {
    await rm(markerOf(place, path), { force: true });
    throw wrong(entry.name, 'are damaged: their digest is not the one that they should have');
  }
  if (wanted.digest !== undefined && !sha256.startsWith(wanted.digest)) {
    throw noVersion(entry.name, wanted.digest, [versionName(entry.name, sha256)]);
  }
  const files = await findBeside(entry, place);
  return files && specOf(facts ? withFacts(entry, facts, older) : entry, path, sha256, size, files);
}

/** @throws Fault MODEL_NOT_FOUND for a version that neither lies here nor is the catalogue's */
export async function find(entry: CatalogueEntry, wanted: Wanted, place: ModelFolder): Promise<Found | undefined> {
  const { name, source, sha256 } = entry;
  if (source.type === 'bundled') return { path: await plainFile(name, bundledPath(source.file)), expected: sha256 };
  if (source.type === 'file') return { path: await plainFile(name, source.path), expected: sha256 };
  const versions = await findVersions(name, place);
  if (wanted.digest === undefined) {
    const current = sha256 === undefined ? versions[0] : versions.find((version) => version.sha256 === sha256);
    return current && { path: current.path, expected: current.sha256 };
  }
  const chosen = choose(wanted, versions);
  if (chosen) return { path: chosen.path, expected: chosen.sha256 };
  if (sha256?.startsWith(wanted.digest)) return undefined;
  const known = new Set([...versions.map((version) => version.sha256), ...(sha256 ? [sha256] : [])]);
  throw noVersion(
    name,
    wanted.digest,
    [...known].map((digest) => versionName(name, digest)),
  );
}

/** The file knows better than an entry how long its model's context is, and what the entry leaves open or says of another. */
function withFacts(entry: CatalogueEntry, { contextLength, quantization }: ModelFacts, older: boolean): CatalogueEntry {
  const told = older || entry.quantization === UNKNOWN ? quantization : undefined;
  return {
    ...entry,
    context_length: Math.min(entry.context_length, contextLength ?? entry.context_length),
    quantization: told ?? entry.quantization,
  };
}

/** @param files beside the weights: name to absolute path */
export function specOf(
  entry: CatalogueEntry,
  path: string,
  sha256: string,
  sizeBytes: number,
  files: Readonly<Record<string, string>>,
): ModelSpec {
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
    ...(Object.keys(files).length > 0 ? { files } : {}),
  };
}
