/** From a name to a model that can be loaded: by the node's settings, and by the catalogue. */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ModelSettings } from '../../nodes/model-settings.ts';
import { usualSettings } from '../../nodes/model-settings.ts';
import { ConfiguredModels, contextFor } from '../../nodes/model-source.ts';
import { bundledPath } from '../../nodes/models/sources/file.ts';
import { nodeSettings } from '../../nodes/settings.ts';
import { Tier } from '../../proto/gen/infermesh/v1/types.ts';

const wish = { pull: false, signal: new AbortController().signal, onProgress: () => {} };
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'infermesh-source-'));
  vi.stubEnv('INFERMESH_MODELS', folder);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

const entry = (flags: object) => nodeSettings({ flags: { tokenFile: 'unread', ...flags }, env: {} }).models[0] as ModelSettings;

function source(flags: object = {}): ConfiguredModels {
  return new ConfiguredModels({ usual: usualSettings(entry(flags)), budgetBytes: 16e9, warn() {} });
}

describe('a model of the settings', () => {
  it('is what the operator says of it, also when a router has it loaded with other slots', async () => {
    const models = source();
    const settings = entry({ model: 'stories-15m', slots: 3, asTier: 'balanced', inputPrice: 2 });
    const begun = await models.configure(settings, {});
    const as = { name: 'stories-15m', engine: 'llama-cpp', tier: Tier.TIER_BALANCED, price: { inputUsdPerMillion: 2 } };
    expect(begun).toMatchObject({ served: { ...as, slots: 3, contextLength: 256 }, remote: false });
    expect(begun.needBytes).toBeGreaterThan(200e6);
    const again = await models.prepare('stories-15m', { ...wish, slots: 7 });
    expect(again.served).toMatchObject({ ...as, slots: 7, digest: begun.served.digest });
    expect(again.needBytes).toBeGreaterThan(begun.needBytes);
  });

  it('on a server outside takes no memory, and has no versions', async () => {
    const models = source();
    const settings = entry({ model: 'cloudy', engine: 'openai', openaiUrl: 'https://api.example/v1' });
    expect(await models.configure(settings, {})).toMatchObject({
      remote: true,
      needBytes: 0,
      served: { billsAfterDisconnect: true },
    });
    const versions = models.prepare('cloudy@0123abcd', wish);
    await expect(versions).rejects.toMatchObject({ reason: 'INVALID_REQUEST', message: expect.stringMatching(/no versions/) });
  });

  it('is not there twice, also where a file has the name of another', async () => {
    const file = join(folder, 'stories-15m.gguf');
    copyFileSync(bundledPath('stories-15m-q8_0.gguf'), file);
    const models = source();
    await models.configure(entry({ model: 'stories-15m' }), {});
    const twin = models.configure(entry({ model: `file:${file}` }), {});
    await expect(twin).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
      message: expect.stringMatching(/are both called stories-15m/),
    });
  });
});

describe('a model that no setting names', () => {
  it("is the catalogue's, with the slots and threads of the node and nothing that was set for others", async () => {
    const models = source({ engine: 'replay', model: 'other', slots: 2, threads: 1, asTier: 'quality', inputPrice: 9 });
    const { served } = await models.prepare('stories-15m', wish);
    expect(served).toMatchObject({ engine: 'llama-cpp', slots: 2, tier: Tier.TIER_FAST, price: { inputUsdPerMillion: 0 } });
  });

  it('is fetched only where that is allowed', async () => {
    const missing = source().prepare('tinyllama-1.1b-chat', wish);
    await expect(missing).rejects.toMatchObject({
      reason: 'MODEL_UNAVAILABLE',
      message: expect.stringMatching(/not on this node; fetch them with: infermesh models pull tinyllama-1.1b-chat/),
    });
    await expect(source().prepare('nothing-of-the-kind', wish)).rejects.toMatchObject({ reason: 'MODEL_NOT_FOUND' });
  });
});

describe('the context of a model', () => {
  it('is its own where that leaves half of the budget, and never longer', async () => {
    const contextOf = async (flags: object) => {
      const { served } = await source().configure(entry({ model: 'stories-15m', ...flags }), {});
      return served.contextLength;
    };
    expect(await contextOf({})).toBe(256);
    expect(await contextOf({ context: 512 })).toBe(256);
  });

  it.each([
    ['all that half has room for', 20_000, 50_000, 20_000],
    ['8,192 tokens where all of it has', 3000, 20_000, 8192],
    ['what all of it has where that is less', 3000, 6000, 6000],
    ['hardly anything, to be refused for want of room', 0, 0, 256],
  ])('is of a budget %s', (_, ofHalf, ofAll, tokens) => {
    expect(contextFor(ofHalf, ofAll)).toBe(tokens);
  });
});
