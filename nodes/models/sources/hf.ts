/** GGUF files on Hugging Face, by node-llama-cpp's own downloader: HF_TOKEN and HF_ENDPOINT are honoured by it. */
import { rename, stat } from 'node:fs/promises';
import { Fault } from '../../../proto/contract/faults.ts';
import { refused, unreachable } from '../problems.ts';
import type { FetchOptions } from './progress.ts';

/** @throws Fault UNREACHABLE, MODEL_NOT_FOUND, UNAUTHENTICATED (gated weights), UNSUPPORTED (no node-llama-cpp), CANCELLED */
export async function fetchFromHuggingFace(uri: string, options: FetchOptions): Promise<void> {
  const { createModelDownloader } = await import('node-llama-cpp').catch((error: unknown) => {
    throw new Fault('UNSUPPORTED', 'Hugging Face models need node-llama-cpp, which is not installed: npm install', {
      cause: error,
    });
  });
  const { signal, onProgress } = options;
  try {
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

function explain(error: unknown, name: string): Fault {
  const { status, statusCode, code, cause } = error as {
    status?: number;
    statusCode?: number;
    code?: string;
    cause?: { code?: string };
  };
  const answered = statusCode ?? status;
  if (typeof answered === 'number') return refused(name, 'Hugging Face', answered, error);
  return unreachable(name, 'Hugging Face', code ?? cause?.code ?? 'no answer', error);
}
