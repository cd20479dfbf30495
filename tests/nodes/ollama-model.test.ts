import { describe, expect, test } from 'vitest';
import { nodeSettings } from '../../nodes/index.ts';
import type { ModelSettings } from '../../nodes/model-settings.ts';
import { isOllamaModel, ollamaOptions, ollamaSpec } from '../../nodes/ollama-model.ts';
import { Tier } from '../../proto/gen/infermesh/v1/types.ts';

const settings = (flags: object) =>
  nodeSettings({ flags: { tokenFile: 'unread', engine: 'ollama', ...flags } }).models[0] as ModelSettings;

test('a model is asked for by its own name, on this machine, unless it is said otherwise', () => {
  const own = ollamaOptions(settings({ model: 'llama3.2:1b' }));
  expect(own).toEqual({ url: 'http://127.0.0.1:11434', model: 'llama3.2:1b', keepAlive: '1h' });
  const flags = { model: 'mistral', ollamaModel: 'hf.co/a/b:Q4_K_M', ollamaUrl: 'https://gpu:1234/', ollamaKeepAlive: '-1' };
  expect(ollamaOptions(settings(flags))).toEqual({ url: 'https://gpu:1234', model: 'hf.co/a/b:Q4_K_M', keepAlive: '-1' });
});

test('what the catalogue knows of a model by that name holds, and its context is at most what was asked for', () => {
  expect(ollamaSpec(settings({ model: 'llama3.2:1b' }))).toMatchObject({
    tier: Tier.TIER_FAST,
    licence: '',
    contextLength: 8192,
  });
  const known = ollamaSpec(settings({ model: 'mistral-7b-instruct', ollamaContext: '10000000' }));
  expect(known).toMatchObject({ name: 'mistral-7b-instruct', licence: 'Apache-2.0', digest: '', path: '' });
  expect(known.contextLength).toBeLessThan(10_000_000);
});

test.each(['llama3.2', 'qwen2.5:0.5b', 'user/model:tag', 'hf.co/user/model.GGUF:Q4_K_M'])('%s is a name of Ollama', (name) => {
  expect(isOllamaModel(name)).toBe(true);
});

test.each(['', '../etc/passwd', 'a/../b', 'a..b', '/a', 'a//b', 'a/', 'a b', 'a\\b', 'a\u0000', 'x'.repeat(257)])(
  'a name that may mean another place is refused: %j',
  (name) => {
    expect(isOllamaModel(name)).toBe(false);
    expect(() => settings({ model: 'm', ollamaModel: name })).toThrow(/--ollama-model must be a name of Ollama/);
  },
);

describe('settings are refused', () => {
  test.each([
    [{ ollamaUrl: 'http://10.0.0.7:11434' }, /would show prompts to the network.*https:.*--allow-plaintext/],
    [{ ollamaUrl: 'http://user:pass@127.0.0.1:11434' }, /without a user/],
    [{ ollamaUrl: 'ftp://127.0.0.1' }, /http:\/\/ or https:\/\//],
    [{ ollamaContext: '255' }, /from 256 to 10000000, received "255"/],
    [{ ollamaKeepAlive: 'long' }, /a time such as 30m/],
  ])('%j', (flags, message) => {
    expect(() => settings({ model: 'm', ...flags })).toThrow(message);
  });

  test('but not on a network that the operator trusts, nor for an Ollama on this machine', () => {
    for (const ollamaUrl of ['http://localhost:11434', 'http://[::1]:11434', 'https://10.0.0.7']) settings({ ollamaUrl });
    settings({ ollamaUrl: 'http://10.0.0.7:11434', allowPlaintext: true });
  });
});
