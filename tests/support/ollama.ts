/**
 * A real Ollama for tests, where OLLAMA_HOST names one that answers; its model is OLLAMA_MODEL, or the first it has. The
 * summary of a run says whether there was one.
 */
import { beforeEach } from 'vitest';
import { OllamaServer } from '../../nodes/backends/ollama/server.ts';

const LIMIT_MS = 2_000;

export interface LiveOllama {
  readonly url: string;
  readonly model: string;
}

/** @returns the server, or why there is none */
export async function findOllama(): Promise<LiveOllama | string> {
  const given = process.env.OLLAMA_HOST;
  if (!given) return 'no OLLAMA_HOST';
  const url = /^https?:/.test(given) ? given : `http://${given}`;
  const server = new OllamaServer(url);
  try {
    await server.version(LIMIT_MS);
    const model = process.env.OLLAMA_MODEL ?? (await server.ask((client) => client.list())).models[0]?.name;
    return model ? { url, model } : `the server of OLLAMA_HOST has no model`;
  } catch {
    return 'nothing answers at OLLAMA_HOST';
  } finally {
    await server.dispose();
  }
}

declare module 'vitest' {
  interface TaskMeta {
    /** Which Ollama the tests of its backend had, for the summary. */
    ollama?: string;
  }
}

/** Notes it with each test of the file. */
export function noteOllama(found: LiveOllama | string): void {
  const live =
    typeof found === 'string' ? `recorded chunks only (${found})` : `recorded chunks, and ${found.model} of OLLAMA_HOST`;
  beforeEach(({ task }) => {
    task.meta.ollama = `ollama: ${live}`;
  });
}
