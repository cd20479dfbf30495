/** What a node is told of a server with the API of OpenAI. */
import { describe, expect, test } from 'vitest';
import type { ModelSettings } from '../../nodes/model-settings.ts';
import { remoteModel, serverOf } from '../../nodes/remote-model.ts';
import { nodeSettings } from '../../nodes/settings.ts';
import { Tier } from '../../proto/gen/infermesh/v1/types.ts';

const URL_HERE = 'http://127.0.0.1:8000/v1/';

function settings(flags: Record<string, unknown>) {
  const { models } = nodeSettings({ flags: { tokenFile: 'token', engine: 'openai', model: 'borrowed', ...flags }, env: {} });
  return models[0] as ModelSettings;
}

describe('settings of the openai engine', () => {
  test.each([
    [{}, /--engine openai needs --openai-url/],
    [{ openaiUrl: 'ftp://here/v1' }, /openai-url.* http:\/\/ or https:\/\//],
    [{ openaiUrl: 'https://user:secret-word@here/v1' }, /openai-url/],
    [{ openaiUrl: 'https://here/v1?key=secret-word' }, /openai-url/],
    [{ openaiUrl: URL_HERE, openaiKeyFile: 'a', openaiKeyEnv: 'B' }, /give one of them/],
    [{ openaiUrl: URL_HERE, openaiKeyEnv: 'not a name' }, /openai-key-env/],
    [{ openaiUrl: 'http://far.example:8000/v1', openaiKeyFile: 'a' }, /would show the API key to the network/],
  ])('%j are refused', (flags, message) => {
    expect(() => settings(flags)).toThrow(message);
  });

  test.each([
    [{ openaiUrl: URL_HERE, openaiKeyFile: 'a' }],
    [{ openaiUrl: 'http://localhost/v1', openaiKeyFile: 'a' }],
    [{ openaiUrl: 'http://far.example:8000/v1' }],
    [{ openaiUrl: 'http://far.example:8000/v1', openaiKeyFile: 'a', allowPlaintext: true }],
    [{ openaiUrl: 'https://far.example/v1', openaiKeyEnv: 'THE_KEY' }],
  ])('%j are taken', (flags) => {
    expect(settings(flags)).toMatchObject(flags);
  });
});

test('the server is asked for the name that it knows, at an address without a slash behind it', () => {
  expect(serverOf(settings({ openaiUrl: URL_HERE }))).toMatchObject({ url: 'http://127.0.0.1:8000/v1', model: 'borrowed' });
  expect(serverOf(settings({ openaiUrl: URL_HERE, openaiModel: 'maker/theirs' }))).toMatchObject({ model: 'maker/theirs' });
});

test('a server elsewhere is taken to charge for what is given up, unless the operator knows better', () => {
  const of = (flags: Record<string, unknown>) => serverOf(settings({ openaiUrl: URL_HERE, ...flags })).billsAfterDisconnect;
  const openaiUrl = 'https://far.example/v1';
  expect([of({}), of({ openaiUrl: 'http://rack.example/v1' }), of({ openaiUrl })]).toEqual([false, false, true]);
  expect([of({ openaiUrl, billsAfterDisconnect: 'false' }), of({ billsAfterDisconnect: 'true' })]).toEqual([false, true]);
  expect(() => of({ billsAfterDisconnect: 'sometimes' })).toThrow(/--bills-after-disconnect must be true or false/);
});

test('a name of the catalogue brings its tier and tasks, and any other name the tier of the address', () => {
  const of = (model: string, openaiUrl = URL_HERE) => remoteModel(settings({ model, openaiUrl }));
  expect(of('mistral-7b-instruct')).toMatchObject({ tier: Tier.TIER_QUALITY, licence: 'Apache-2.0', digest: '', sizeBytes: 0 });
  expect(of('all-minilm-l6-v2').tasks).toEqual(['embed']);
  expect(of('borrowed').tier).toBe(Tier.TIER_FAST);
  expect(of('borrowed', 'https://localhost:8000/v1').tier).toBe(Tier.TIER_FAST);
  expect(of('borrowed', 'https://far.example/v1').tier).toBe(Tier.TIER_CLOUD);
});
