import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { LlamaCppBackend } from '../../../nodes/backends/llama-cpp.ts';
import { backendContract } from '../../contract/backend.ts';
import { jobOf, loadOptions, Recorder } from '../../contract/jobs.ts';

const path = fileURLToPath(new URL('../../../nodes/models/bundled/stories-15m-q8_0.gguf', import.meta.url));

backendContract('llama.cpp in this process', {
  async open(slots) {
    const backend = new LlamaCppBackend();
    const model = await backend.load(loadOptions({ path }, slots), () => {});
    return Object.assign(backend, { model });
  },
});

test('a conversation that goes on finds its beginning in the KV cache, which another one does not take away', async () => {
  const backend = new LlamaCppBackend();
  await backend.load(loadOptions({ path }, 2), () => {});
  const ask = async (prompt: string) => {
    const sink = new Recorder();
    backend.generate(jobOf(prompt, { maxTokens: 20 }), sink);
    const { outcome } = await sink.ended;
    if (outcome.type !== 'finish') throw new Error(outcome.message);
    return outcome.usage;
  };
  const question = 'Once upon a time there was a small green dragon who lived on a hill';
  const cold = await ask(question);
  const other = await ask('The sun was hot');
  const warm = await ask(question);
  expect(cold.cachedInputTokens).toBe(0);
  expect(warm.cachedInputTokens).toBe(warm.inputTokens - 1);
  expect(other.cachedInputTokens).toBeLessThan(3);
  await backend.dispose();
});
