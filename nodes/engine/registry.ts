/** Which backends there are. Each is imported only where it is used: an engine's library may be large or absent. */
import { classifiesOnly } from '../../proto/contract/classes.ts';
import { embedsOnly } from '../../proto/contract/embedding.ts';
import type { Backend, ModelSpec } from '../backends/backend.ts';

export type BackendName = 'llama-cpp' | 'ollama' | 'onnx' | 'openai' | 'replay';

/** @param warn is told what the operator should know, by backends in this process */
export async function makeBackend(
  name: BackendName,
  { tasks }: Pick<ModelSpec, 'tasks'>,
  warn?: (message: string) => void,
): Promise<Backend> {
  const vectors = embedsOnly(tasks);
  switch (name) {
    case 'llama-cpp':
      if (vectors) return new (await import('../backends/llama-cpp-embeddings.ts')).LlamaCppEmbeddings();
      return new (await import('../backends/llama-cpp.ts')).LlamaCppBackend();
    case 'ollama':
      return new (await import('../backends/ollama.ts')).OllamaBackend();
    case 'onnx':
      if (classifiesOnly(tasks)) return new (await import('../backends/onnx-classifier.ts')).OnnxClassifier();
      return new (await import('../backends/onnx.ts')).OnnxEmbeddings();
    case 'openai':
      if (vectors) return new (await import('../backends/openai-embeddings.ts')).OpenAiEmbeddings();
      return new (await import('../backends/openai.ts')).OpenAiBackend(warn);
    case 'replay':
      if (vectors) return new (await import('../backends/replay-embeddings.ts')).ReplayEmbeddings();
      return new (await import('../backends/replay.ts')).ReplayBackend();
  }
}
