/** GGUF files on Hugging Face, by node-llama-cpp's own downloader: HF_TOKEN and HF_ENDPOINT are honoured by it. */
import { rename, stat } from 'node:fs/promises';
import { Fault } from '../../../proto/contract/faults.ts';
import { isDiskError, refused, unreachable } from '../problems.ts';
import type { FetchOptions } from './progress.ts';

const ANSWER_MS = 15_000;

/** @throws Fault UNREACHABLE, MODEL_NOT_FOUND, MODEL_UNAVAILABLE (gated weights), UNSUPPORTED (no node-llama-cpp), CANCELLED */
export async function fetchFromHuggingFace(uri: string, options: FetchOptions): Promise<void> {
  const { createModelDownloader } = await import('node-llama-cpp').catch((error: unknown) => {
    throw new Fault('UNSUPPORTED', 'Hugging Face models need node-llama-cpp, which is not installed: npm install', {
      cause: error,
    });
  });
  const { signal, onProgress } = options;
  try {
    await reach(signal);
    const downloader = await createModelDownloader({
      modelUri: uri,
      dirPath: options.folder,
      fileName: 'download.gguf',
      showCliProgress: false,
      // What has come stays, and the next pull goes on with it.
      deleteTempFileOnCancel: false,
      skipExisting: false,
      onProgress: ({ totalSize, downloadedSize }) =>
        onProgress({ phase: 'downloading', downloadedBytes: downloadedSize, totalBytes: totalSize }),
    });
    await rename(await downloader.download({ signal }), options.target);
  } catch (error) {
    signal.throwIfAborted();
    throw explain(error, options.name);
  }
  const { size } = await stat(options.target);
  onProgress({ phase: 'downloading', downloadedBytes: size, totalBytes: size });
}

/** The downloader tries for minutes before it says that nobody is there. */
async function reach(signal: AbortSignal): Promise<void> {
  const endpoint = process.env.MODEL_ENDPOINT ?? process.env.HF_ENDPOINT ?? 'https://huggingface.co/';
  const answer = await fetch(endpoint, { method: 'HEAD', signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]) });
  await answer.body?.cancel();
}

function explain(error: unknown, name: string): Error {
  if (isDiskError(error)) return error as Error;
  const { status, statusCode, cause } = error as { status?: number; statusCode?: number; cause?: unknown };
  const answered = statusCode ?? status;
  if (typeof answered === 'number') return refused(name, 'Hugging Face', answered, error);
  return unreachable(name, 'Hugging Face', codeOf(error) ?? codeOf(cause) ?? 'no answer', error);
}

/** Node's errors have a word here, the web's a number. */
function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}
