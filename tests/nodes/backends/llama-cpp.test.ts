import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { LlamaCppBackend } from '../../../nodes/backends/llama-cpp.ts';
import { backendContract } from '../../contract/backend.ts';
import { deliveredAfter, jobOf, loadOptions, Recorder } from '../../contract/jobs.ts';

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

test('a job that takes a used slot begins while the others go on', async () => {
  const backend = new LlamaCppBackend();
  await backend.load(loadOptions({ path }, 3), () => {});
  const start = (prompt: string, maxTokens: number) => {
    const sink = new Recorder();
    backend.generate(jobOf(prompt, { maxTokens }), sink);
    return sink;
  };
  await Promise.all(['The sun', 'A cat', 'My dog'].map((prompt) => start(prompt, 4).ended));
  const long = ['Once upon a time', 'There was a little girl'].map((prompt) => start(prompt, 200));
  await Promise.all(long.map((sink) => sink.reached(5)));
  await start('In a small house', 1).ended;
  expect(long.map(({ ends }) => ends)).toEqual([0, 0]);
  await backend.dispose();
});

test.each([
  ['fewer ids than tokens', (ids: number[]) => ids.slice(1), /as many as delivered\.tokens, 6; received 5/],
  ['an id beyond the vocabulary', (ids: number[]) => [...ids.slice(1), 32_000], /from 0 to 31999; received 32000 at 5/],
  ['a fraction', (ids: number[]) => [1.5, ...ids.slice(1)], /received 1\.5 at 0/],
  ['a special token', (ids: number[]) => [1, ...ids.slice(1)], /special tokens .* received 1 at 0/],
  ['the ids of another text', (ids: number[]) => [...ids].reverse(), /not those of delivered\.text/],
])('what was delivered is refused with %s, and the engine lives on', async (_, change, message) => {
  const backend = new LlamaCppBackend();
  await backend.load(loadOptions({ path }, 1), () => {});
  const whole = new Recorder();
  backend.generate(jobOf('Once upon a time', { maxTokens: 6 }), whole);
  await whole.ended;
  const delivered = deliveredAfter(whole, 6);
  const sink = new Recorder(6);
  const tokenIds = change([...delivered.tokenIds]);
  backend.generate(jobOf('Once upon a time', { maxTokens: 9, delivered: { ...delivered, tokenIds } }), sink);
  const refused = { type: 'failure', reason: 'INVALID_REQUEST', message: expect.stringMatching(message) };
  expect(await sink.ended).toMatchObject({ outcome: refused, tokens: 6 });
  const again = new Recorder(6);
  backend.generate(jobOf('Once upon a time', { maxTokens: 9, delivered }), again);
  expect(await again.ended).toMatchObject({ outcome: { type: 'finish' }, tokens: 9 });
  await backend.dispose();
});
