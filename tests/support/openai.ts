/**
 * A real server with the API of OpenAI for tests, where OPENAI_BASE_URL names one that answers: its model is OPENAI_MODEL,
 * or the first it has, its key OPENAI_API_KEY, its context OPENAI_CONTEXT tokens where it does not tell that itself. One that
 * makes vectors is OPENAI_EMBEDDINGS_URL. The summary of a run says whether there was one.
 */
import { beforeEach } from 'vitest';
import type { LoadOptions } from '../../nodes/backends/backend.ts';
import type { Server } from '../../nodes/backends/openai/server.ts';
import { findServer } from '../../nodes/backends/openai/server.ts';
import { loadOptions } from '../contract/jobs.ts';

export interface LiveOpenAi {
  readonly options: (slots: number) => LoadOptions;
  readonly dialect: Server['dialect'];
  readonly name: string;
}

/** @returns the server, or why there is none */
export async function findOpenAi(
  variable: 'OPENAI_BASE_URL' | 'OPENAI_EMBEDDINGS_URL' = 'OPENAI_BASE_URL',
): Promise<LiveOpenAi | string> {
  const { [variable]: url, OPENAI_MODEL, OPENAI_API_KEY, OPENAI_CONTEXT = '512' } = process.env;
  if (!url) return `no ${variable}`;
  const keyEnv = OPENAI_API_KEY ? 'OPENAI_API_KEY' : undefined;
  try {
    const model = OPENAI_MODEL ?? (await firstModel(url, OPENAI_API_KEY));
    const options = (slots: number) => ({
      ...loadOptions({ path: '', contextLength: Number(OPENAI_CONTEXT) }, slots),
      server: { url: url.replace(/\/+$/, ''), model, keyEnv },
    });
    const { dialect, http } = await findServer(options(1));
    http.close();
    return { options, dialect, name: model };
  } catch {
    return `nothing answers at ${variable}`;
  }
}

async function firstModel(url: string, key: string | undefined): Promise<string> {
  const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const response = await fetch(`${url.replace(/\/+$/, '')}/models`, { headers, signal: AbortSignal.timeout(2_000) });
  const { data } = (await response.json()) as { data: { id: string }[] };
  return data[0]!.id;
}

declare module 'vitest' {
  interface TaskMeta {
    /** Which server the tests of the openai backend had, for the summary. */
    openai?: string;
  }
}

/** Notes it with each test of the file. */
export function noteOpenAi(found: LiveOpenAi | string): void {
  const live =
    typeof found === 'string'
      ? `recorded chunks only (${found})`
      : `recorded chunks, and ${found.name} of OPENAI_BASE_URL (${found.dialect})`;
  beforeEach(({ task }) => {
    task.meta.openai = `openai: ${live}`;
  });
}
