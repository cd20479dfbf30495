/** Which backends there are. Each is imported only where it is used: an engine's library may be large or absent. */
import { embedsOnly } from '../../proto/contract/embedding.ts';
import type { Backend, ModelSpec } from '../backends/backend.ts';

export type BackendName = 'llama-cpp' | 'ollama' | 'replay';

export async function makeBackend(name: BackendName, { tasks }: Pick<ModelSpec, 'tasks'>): Promise<Backend> {
  const vectors = embedsOnly(tasks);
  switch (name) {
    case 'llama-cpp':
      if (vectors) return new (await import('../backends/llama-cpp-embeddings.ts')).LlamaCppEmbeddings();
      return new (await import('../backends/llama-cpp.ts')).LlamaCppBackend();
    case 'ollama':
      return new (await import('../backends/ollama.ts')).OllamaBackend();
    case 'replay':
      if (vectors) return new (await import('../backends/replay-embeddings.ts')).ReplayEmbeddings();
      return new (await import('../backends/replay.ts')).ReplayBackend();
  }
}
