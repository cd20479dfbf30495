/** Which backends there are. Each is imported only where it is used: an engine's library may be large or absent. */
import type { Backend } from '../backends/backend.ts';

export type BackendName = 'llama-cpp' | 'replay';

export async function makeBackend(name: BackendName): Promise<Backend> {
  switch (name) {
    case 'llama-cpp':
      return new (await import('../backends/llama-cpp.ts')).LlamaCppBackend();
    case 'replay':
      return new (await import('../backends/replay.ts')).ReplayBackend();
  }
}
