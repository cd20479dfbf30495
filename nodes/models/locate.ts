/** From a catalogue entry to weights on this machine that are known to be right. */
import { rm, stat } from 'node:fs/promises';
import type { ModelSpec } from '../backends/backend.ts';
import { knownDigest } from './digest.ts';
import type { ModelFolder } from './folder.ts';
import { findWeights } from './folder.ts';
import type { ModelFacts } from './gguf/facts.ts';
import { damaged, fetchAgain } from './problems.ts';
import type { CatalogueEntry } from './schema.ts';
import { UNKNOWN } from './schema.ts';
import { bundledPath, checkGguf, plainFile } from './sources/file.ts';
import type { PullOptions } from './sources/progress.ts';

/** Whether its weights lie in the user's folder, and can be fetched again. */
export function isFetched({ source }: CatalogueEntry): boolean {
  return source.type === 'npm' || source.type === 'hf';
}

/** As ModelStore.locate. */
export async function locate(entry: CatalogueEntry, place: ModelFolder, options: PullOptions): Promise<ModelSpec | undefined> {
  const found = await find(entry, place);
  if (found === undefined) return undefined;
  const { path, expected } = found;
  // Before all of it is read: what an operator names may be anything.
  const facts = entry.source.type === 'file' ? await checkGguf(entry.name, path) : undefined;
  const { size } = await stat(path);
  const wrong = isFetched(entry) ? fetchAgain : damaged;
  if (entry.sha256 !== undefined && size !== entry.size_bytes) {
    throw wrong(entry.name, `are damaged: ${size} bytes instead of ${entry.size_bytes}`);
  }
  const onProgress = (read: number) => options.onProgress?.({ phase: 'verifying', downloadedBytes: read, totalBytes: size });
  const sha256 = await knownDigest(path, place.marker, { signal: options.signal, onProgress });
  if (expected !== undefined && sha256 !== expected) {
    await rm(place.marker, { force: true });
    throw wrong(entry.name, 'are damaged: their digest is not the one that they should have');
  }
  return specOf(facts ? withFacts(entry, facts) : entry, path, sha256, size);
}

/** The file knows better than an entry how long its model's context is, and what an entry leaves open. */
function withFacts(entry: CatalogueEntry, { contextLength, quantization }: ModelFacts): CatalogueEntry {
  return {
    ...entry,
    context_length: Math.min(entry.context_length, contextLength ?? entry.context_length),
    quantization: entry.quantization === UNKNOWN ? (quantization ?? UNKNOWN) : entry.quantization,
  };
}

async function find(entry: CatalogueEntry, place: ModelFolder) {
  const { name, source, sha256 } = entry;
  if (source.type === 'bundled') return { path: await plainFile(name, bundledPath(source.file)), expected: sha256 };
  if (source.type === 'file') return { path: await plainFile(name, source.path), expected: sha256 };
  const weights = await findWeights(name, place, sha256);
  return weights && { path: weights.path, expected: weights.sha256 };
}

export function specOf(entry: CatalogueEntry, path: string, sha256: string, sizeBytes: number): ModelSpec {
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
