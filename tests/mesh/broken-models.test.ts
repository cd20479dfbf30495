/** Weights that are not what they should be: the node says so, exits with 1, and the mesh goes on. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { writeCatalogue } from '../support/catalogue.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMember, startMesh } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';

const BUNDLED = fileURLToPath(new URL('../../nodes/models/bundled/stories-15m-q8_0.gguf', import.meta.url));

let mesh: TestMesh;
const folder = mkdtempSync(join(tmpdir(), 'infermesh-models-'));

beforeAll(async () => {
  mesh = await startMesh({ nodes: [{ engine: 'replay', model: 'canned', replay: 'length=5' }] });
});
afterEach(async () => {
  await expectAtRest(mesh);
  expect((await mesh.client.ask({ messages: 'hello' })).finished.usage?.outputTokens).toBe(5);
});
afterAll(async () => {
  await mesh[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const SHA256 = '6b64a54fd9e9e03a4a11e62d5b170187510750e2b8f30ff4b3576da530901191';

/** Serves weights that `damage` has been at, from a catalogue of the operator's own. */
async function serve(name: string, damage: (path: string) => void, sha256?: string) {
  const path = join(folder, `${name}.gguf`);
  copyFileSync(BUNDLED, path);
  damage(path);
  const entry = { name, source: `file:${path}`, ...(sha256 ? { sha256 } : {}) };
  const catalogue = writeCatalogue(join(folder, `${name}.yaml`), entry);
  return run(name, { INFERMESH_CATALOGUE: catalogue });
}

async function run(model: string, env: NodeJS.ProcessEnv = {}) {
  const flags = ['--join', mesh.address, '--token-file', mesh.tokenFile, '--id', 'broken', '--model', model, '--threads', '1'];
  const node = startMember(['node', ...flags], { INFERMESH_MODELS: join(folder, 'store'), ...env });
  const code = await new Promise<number | null>((resolve) => node.process.once('close', resolve));
  const [failed] = node
    .output()
    .split('\n')
    .filter((line) => line.startsWith('infermesh:'));
  return { code, says: failed ?? node.output() };
}

const half = (path: string) => truncateSync(path, 8_000_000);
/** Writes one of the numbers that a GGUF begins with. */
const claims = (at: number, count: bigint) => (path: string) => {
  const bytes = readFileSync(path);
  bytes.writeBigUInt64LE(count, at);
  writeFileSync(path, bytes);
};
const overwritten = (path: string) => {
  const bytes = readFileSync(path);
  bytes.fill(0xa5, 100, 5000);
  writeFileSync(path, bytes);
};

describe('a node whose weights', () => {
  it.each<[string, (path: string) => void, string | undefined, RegExp]>([
    ['are cut short, with a digest to hold them to', half, SHA256, /digest|size|bytes/],
    ['have other bytes than their digest', overwritten, SHA256, /digest|sha256/],
    ['are cut short, with no digest', half, undefined, /is cut short: it has 8000000 bytes, and its tensors reach to 16879552/],
    ['have a broken header', overwritten, undefined, /cannot be used: .* is cut short or corrupt/],
    ['claim more tensors than fit into any file', claims(8, 2n ** 60n), undefined, /claims \d+ tensors/],
    ['claim a name of 4 GB in the header', claims(24, 2n ** 32n), undefined, /takes 4294967296 bytes/],
    ['are no GGUF', (path) => writeFileSync(path, 'hello'), undefined, /GGUF/],
    ['are empty', (path) => writeFileSync(path, ''), undefined, /empty|GGUF|bytes/],
    ['are not there', (path) => rmSync(path), undefined, /not|ENOENT/],
  ])('%s says so and exits with 1', async (what, damage, sha256, says) => {
    const ended = await serve(what.replace(/[^a-z]+/g, '-'), damage, sha256);
    expect(ended).toEqual({ code: 1, says: expect.stringMatching(says) });
  });

  it.each(['no-such-model', '..', '../../etc/passwd', '/etc/passwd', 'stories-15m@00000000', 'stories-15m@../x'])(
    'have a name that the catalogue does not know (%s) says so',
    async (name) => {
      const { code, says } = await run(name);
      expect(code).toBeGreaterThan(0);
      expect(says).toMatch(/model/);
    },
  );
});
