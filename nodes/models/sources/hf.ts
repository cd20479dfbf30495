/**
 * Files on Hugging Face, or on a mirror that HF_ENDPOINT names. What it tells before the first byte, the file's size and,
 * of large ones, their sha256, is what comes is held to.
 *
 *   HEAD resolve/BRANCH/FILE -> size, tag, digest -> TAG.partial (resumed by ranges) -> target
 */
import { createHash } from 'node:crypto';
import { readFile, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { damaged, isDiskError, refused, unreachable } from '../problems.ts';
import type { Source } from '../source.ts';
import type { RangeResponse } from './download.ts';
import { BadDownload, download } from './download.ts';
import type { FetchOptions, Offer } from './progress.ts';

const ANSWER_MS = 15_000;
const MAX_REDIRECTS = 5;
const REDIRECTS = [301, 302, 303, 307, 308];
const WHERE = 'Hugging Face';

type HuggingFace = Extract<Source, { type: 'hf' }>;

interface Remote extends Offer {
  readonly url: URL;
  readonly token: string | undefined;
  /** Changes with the file. */
  readonly tag: string;
}

/**
 * Leaves the target alone where the offer is not wanted.
 * @throws Fault UNREACHABLE, MODEL_NOT_FOUND, MODEL_UNAVAILABLE (gated, or not what was promised), CANCELLED
 */
export async function fetchFromHuggingFace(source: HuggingFace, options: FetchOptions): Promise<void> {
  const { name, signal, target } = options;
  try {
    const remote = await ask(source, options);
    if (!(await options.onOffer(remote))) return;
    const id = createHash('sha256').update(`${remote.url} ${remote.tag}`).digest('hex').slice(0, 16);
    const partial = join(options.folder, `${id}.partial`);
    // Without a tag nothing tells whether what is here is of the same file.
    if (remote.tag === '') await rm(partial, { force: true });
    await receive(remote, partial, options);
    await rename(partial, target);
  } catch (error) {
    signal.throwIfAborted();
    throw explain(error, name);
  }
}

/** What there is, without a byte of it. Stores behind Hugging Face answer GET alone, so it is not followed to them. */
async function ask({ repository, file, branch }: HuggingFace, { sizeBytes, signal }: FetchOptions): Promise<Remote> {
  const endpoint = process.env.MODEL_ENDPOINT || process.env.HF_ENDPOINT || 'https://huggingface.co';
  const url = new URL(`${endpoint.replace(/\/+$/, '')}/${repository}/resolve/${branch}/${file}`);
  const token = await readToken();
  const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
  const { response, tag } = await follow(url, token, { method: 'HEAD', signal: limit }, (next) => next.origin === url.origin);
  const linked = response.headers.get('x-linked-size') ?? (response.ok ? response.headers.get('content-length') : null);
  const size = Number(linked ?? Number.NaN);
  if (!Number.isSafeInteger(size) || size < 1) throw new BadDownload('does not tell how large it is');
  if (sizeBytes !== undefined && size !== sizeBytes) throw new BadDownload(`offers ${size} bytes instead of ${sizeBytes}`);
  return { url, token, tag, sizeBytes: size, sha256: /^[0-9a-f]{64}$/.test(tag) ? tag : undefined };
}

async function receive(remote: Remote, path: string, { signal, onProgress }: FetchOptions): Promise<void> {
  const { sizeBytes } = remote;
  const request = async (offset: number, during: AbortSignal): Promise<RangeResponse> => {
    const headers = offset > 0 ? { range: `bytes=${offset}-` } : {};
    const { response, tag } = await follow(remote.url, remote.token, { headers, signal: during }, () => true);
    if (tag !== remote.tag) throw new BadDownload('changed it while it was fetched; pull again');
    return { status: response.status, headers: response.headers, body: response.body as unknown as AsyncIterable<Buffer> };
  };
  const onBytes = (downloadedBytes: number) => onProgress({ phase: 'downloading', downloadedBytes, totalBytes: sizeBytes });
  try {
    await download({ path, signal, sizeBytes, request, onBytes });
    if ((await stat(path)).size !== sizeBytes) throw new BadDownload('sent more than it told');
  } catch (error) {
    if (error instanceof BadDownload) await rm(path, { force: true });
    throw error;
  }
}

/**
 * Goes after redirects itself, to see what each answer tells: over HTTPS, unless the endpoint has none, and with the
 * token to the endpoint alone.
 * @param goes whether to follow to a place, or to take the redirect for the answer
 */
async function follow(start: URL, token: string | undefined, init: RequestInit, goes: (to: URL) => boolean) {
  let url = start;
  let tag: string | undefined;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const authorization = token !== undefined && url.origin === start.origin ? { authorization: `Bearer ${token}` } : {};
    const headers = { 'accept-encoding': 'identity', ...authorization, ...init.headers };
    const response = await fetch(url.href, { ...init, headers, redirect: 'manual' });
    if (url.origin === start.origin) tag = tagOf(response) ?? tag;
    const location = REDIRECTS.includes(response.status) ? response.headers.get('location') : null;
    const next = location === null ? undefined : URL.parse(location, url.href);
    if (next && !goes(next)) return { response, tag: tag ?? '' };
    if (location === null) {
      if (response.ok) return { response, tag: tag ?? '' };
      await response.body?.cancel();
      throw Object.assign(new Error(`HTTP ${response.status}`), { statusCode: response.status });
    }
    await response.body?.cancel();
    if (!next || (next.protocol !== 'https:' && next.protocol !== start.protocol)) {
      throw new BadDownload(`redirects to ${next ? `a place with ${next.protocol}` : 'nowhere'}`);
    }
    url = next;
  }
  throw new BadDownload('redirects without end');
}

function tagOf({ headers }: Response): string | undefined {
  return (headers.get('x-linked-etag') ?? headers.get('etag'))?.replace(/^W\//, '').replaceAll('"', '');
}

/** Where Hugging Face's own tools look for it. */
async function readToken(): Promise<string | undefined> {
  const { HF_TOKEN, HF_TOKEN_PATH, HF_HOME, XDG_CACHE_HOME } = process.env;
  if (HF_TOKEN) return HF_TOKEN;
  const home = HF_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface');
  const text = await readFile(HF_TOKEN_PATH || join(home, 'token'), 'utf8').catch(() => '');
  return text.trim() || undefined;
}

function explain(error: unknown, name: string): Error {
  if (isDiskError(error)) return error as Error;
  if (error instanceof BadDownload) return damaged(name, `cannot be had: ${WHERE} ${error.message}`, error);
  const { statusCode, cause, reason } = error as { statusCode?: number; cause?: unknown; reason?: unknown };
  if (reason !== undefined) return error as Error;
  if (statusCode !== undefined) return refused(name, WHERE, statusCode, error);
  return unreachable(name, WHERE, codeOf(error) ?? codeOf(cause) ?? 'no answer', error);
}

/** Node's errors have a word here, the web's a number. */
function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}
