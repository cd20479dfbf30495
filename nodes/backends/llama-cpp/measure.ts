/** How fast a model reads and writes on this machine. */
import type { LlamaContextSequence, Token } from 'node-llama-cpp';
import type { Loaded } from './model.ts';

/** A slow machine is measured on fewer tokens. */
const LONGEST_MEASURE_MS = 800;

/** Warms up, then times a short prompt and a short answer on an idle engine. */
export async function measure({ model }: Loaded, sequence: LlamaContextSequence) {
  const text = model.tokenize('The quick brown fox jumps over the lazy dog and runs through the quiet forest. '.repeat(8));
  const warm = await time(sequence, text.slice(0, 4), 4);
  const quick = warm.decode > 100;
  const prompt = text.slice(4, 4 + Math.min(quick ? 96 : 16, Math.floor(sequence.contextSize / 2)));
  const { prefill: prefillTokensPerSecond, decode: decodeTokensPerSecond } = await time(sequence, prompt, quick ? 64 : 8);
  return { prefillTokensPerSecond, decodeTokensPerSecond };
}

/** @returns tokens per second of reading `prompt` and of the `count` tokens after the first */
async function time(sequence: LlamaContextSequence, prompt: Token[], count: number) {
  await sequence.clearHistory();
  const start = performance.now();
  let first = start;
  let tokens = 0;
  for await (const _ of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    if (tokens++ === 0) first = performance.now();
    if (tokens > count || performance.now() - first > LONGEST_MEASURE_MS) break;
  }
  const end = performance.now();
  await sequence.clearHistory();
  return { prefill: (prompt.length * 1000) / (first - start), decode: ((tokens - 1) * 1000) / (end - first) };
}
