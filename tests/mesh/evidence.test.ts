/** Evidence, and what one asks of the cache, on real processes. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Mesh } from '../../client/index.ts';
import { connect } from '../../client/index.ts';
import { GetEvidenceRequest, PutEvidenceRequest } from '../../proto/gen/infermesh/v1/cache.ts';
import { digestOfSecret } from '../../proto/transport/join-token.ts';
import { infermesh } from '../cli/run.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh, TOKEN } from '../support/mesh.ts';
import { RawConnection } from './wire.ts';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const canned = { engine: 'replay', model: 'canned', replay: 'length=5' } as const;
const chunk = (text: string) => ({ text, source: 'manual, page 4', score: 0.5, metadata: { language: 'en' } });

describe('evidence', () => {
  let mesh: TestMesh;
  beforeAll(async () => {
    mesh = await startMesh({ nodes: [canned] });
  });
  afterAll(() => mesh?.[Symbol.asyncDispose]());

  it('is found again as it was put, by any process of the tenant', async () => {
    await mesh.client.evidence.put('how to reset', [chunk('Hold the button.'), { text: 'Or wait.' }]);
    using other = connect(mesh.address);
    const found = await other.evidence.get('how to reset');
    expect(found?.chunks).toEqual([chunk('Hold the button.'), { text: 'Or wait.', source: '', score: 0, metadata: {} }]);
    expect(found?.ageMs).toBeGreaterThanOrEqual(0);
    expect(found?.ageMs).toBeLessThan(30_000);
  });

  it('is found many at once, in their order', async () => {
    await Promise.all(['a', 'b', 'c'].map((key) => mesh.client.evidence.put(key, [{ text: key }])));
    const keys = ['c', 'missing', 'a', 'c', 'b', 'missing too'];
    const found = await mesh.client.evidence.getAll(keys);
    expect(found.map((one) => one?.chunks[0]?.text)).toEqual(['c', undefined, 'a', 'c', 'b', undefined]);
  });

  it('is replaced by what is put later, and gone when it is deleted', async () => {
    const { evidence } = mesh.client;
    await evidence.put('x', [{ text: 'old' }]);
    await evidence.put('x', [{ text: 'new' }]);
    expect((await evidence.get('x'))?.chunks[0]?.text).toBe('new');
    expect(await evidence.delete('x')).toBe(true);
    expect(await evidence.delete('x')).toBe(false);
    expect(await evidence.get('x')).toBeUndefined();
  });

  it('may be as large as it may be, and no more than fits into a message comes at once', async () => {
    const keys = ['l1', 'l2', 'l3', 'l4'];
    for (const key of keys) await mesh.client.evidence.put(key, [{ text: 'x'.repeat(1_048_576) }]);
    expect((await mesh.client.evidence.getAll(keys.slice(0, 3))).map((one) => one?.chunks[0]?.text.length)).toEqual(
      Array(3).fill(1_048_576),
    );
    await expect(mesh.client.evidence.getAll(keys)).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
      violations: [{ field: 'keys', description: expect.stringMatching(/at most 3,145,728 bytes together, received 4 with/) }],
    });
  });

  it('is refused out of its bounds by the router itself, with field, bound and value, and without a word of it', async () => {
    await using wire = new RawConnection(mesh.address);
    const canary = 'canary-7f3a';
    const put = (more: Parameters<typeof PutEvidenceRequest.fromPartial>[0]) =>
      PutEvidenceRequest.encode(
        PutEvidenceRequest.fromPartial({ key: 'k', evidence: { chunks: [chunk('t')] }, ...more }),
      ).finish();
    const get = (keys: string[]) => GetEvidenceRequest.encode({ keys }).finish();
    const calls: [method: string, body: Uint8Array, field: string, description: RegExp][] = [
      ['PutEvidence', put({ key: '' }), 'key', /1 to 1,024 bytes, received an empty string/],
      ['PutEvidence', put({ key: canary.repeat(100) }), 'key', /received 1,100 bytes/],
      ['PutEvidence', put({ evidence: undefined }), 'evidence', /received nothing/],
      ['PutEvidence', put({ ttlSeconds: 0 }), 'ttl_seconds', /from 1 to 86400, received 0/],
      ['PutEvidence', put({ ttlSeconds: 86_401 }), 'ttl_seconds', /received 86401/],
      [
        'PutEvidence',
        put({ evidence: { chunks: [{ score: Number.NaN }] } }),
        'evidence.chunks[0].score',
        /finite number, received NaN/,
      ],
      [
        'PutEvidence',
        put({ evidence: { chunks: [{ source: canary.repeat(100) }] } }),
        'evidence.chunks[0].source',
        /1,100 bytes/,
      ],
      [
        'PutEvidence',
        put({ evidence: { chunks: [{ metadata: { '': canary } }] } }),
        'evidence.chunks[0].metadata',
        /names of 1 to 64/,
      ],
      ['GetEvidence', get([]), 'keys', /1 to 64, received 0/],
      ['GetEvidence', get(['a', '']), 'keys[1]', /received an empty string/],
      ['GetEvidence', get(Array<string>(65).fill('k')), 'keys', /received 65/],
    ];
    for (const [method, body, field, description] of calls) {
      const { fault } = await wire.call(`/infermesh.v1.CacheService/${method}`, body);
      expect({ method, reason: fault?.reason }).toEqual({ method, reason: 'INVALID_REQUEST' });
      expect(fault?.violations).toEqual([{ field, description: expect.stringMatching(description) }]);
    }
    expect(mesh.router.output()).not.toContain(canary);
  });

  it('is refused by the library in the same words, before anything is sent', async () => {
    using nowhere = connect('127.0.0.1:1');
    await expect(nowhere.evidence.put('k', [])).rejects.toMatchObject({ violations: [{ field: 'evidence.chunks' }] });
    await expect(nowhere.evidence.getAll([])).rejects.toMatchObject({ violations: [{ field: 'keys' }] });
  });

  it('is counted and purged by the command line', async () => {
    await mesh.client.evidence.put('to be purged', [{ text: 'x' }]);
    await mesh.client.evidence.get('to be purged');
    const of = async (...args: string[]) => (await infermesh(['cache', ...args, '--router', mesh.address])).stdout;
    expect(await of('stats')).toMatch(/LAYER .*\n +answers .*\n +evidence +\d+ .*\n +embeddings /);
    const { layers, redis } = JSON.parse(await of('stats', '--json'));
    expect(layers.map(({ layer }: { layer: string }) => layer)).toEqual(['answers', 'evidence', 'embeddings']);
    expect(redis.state).toBe('none');
    expect(layers[1].entries).toBeGreaterThan(0);
    expect(await of('purge', '--layer', 'answers')).toMatch(/^forgotten: 0 entries in the router's memory, 0 entries in Redis/);
    expect(await mesh.client.evidence.get('to be purged')).toBeDefined();
    expect(await of('purge', '--tenant', 'acme', '--json')).toBe('{"memory":0,"redis":0}\n');
    expect(JSON.parse(await of('purge', '--tenant', '', '--json')).memory).toBe(layers[1].entries);
    expect(await mesh.client.evidence.get('to be purged')).toBeUndefined();
  });

  it('is used by the example service, which asks a second time for nothing', async () => {
    const ask = async () => {
      const env = { ...process.env, INFERMESH_ROUTER: mesh.address };
      const { stdout } = await run(process.execPath, [join(ROOT, 'client/examples/retrieval.ts'), 'How do I reset it?'], { env });
      return JSON.parse(stdout) as { text: string };
    };
    const first = await ask();
    expect(first).toMatchObject({ evidence: 'retrieved', answer: 'generated', chunks: 2 });
    expect(await ask()).toEqual({ ...first, evidence: 'kept', answer: 'cached' });
  });
});

describe('evidence of tenants', () => {
  const folder = mkdtempSync(join(tmpdir(), 'infermesh-evidence-'));
  const tenants = join(folder, 'tenants.yaml');
  const keyOf = (tenant: string) => `imk_of-the-tenant-${tenant}`;
  let mesh: TestMesh;
  const clients = new Map<string, Mesh>();

  beforeAll(async () => {
    const lines = ['acme', 'bolt'].map((tenant) => `  ${tenant}: { keys: ["${digestOfSecret(keyOf(tenant))}"] }`);
    writeFileSync(tenants, `tenants:\n${lines.join('\n')}\n`);
    mesh = await startMesh({ nodes: [], routerFlags: ['--tenants', tenants], connect: { apiKey: TOKEN } });
    for (const tenant of ['acme', 'bolt']) clients.set(tenant, connect(mesh.address, { apiKey: keyOf(tenant) }));
  });
  afterAll(async () => {
    for (const client of clients.values()) client.close();
    await mesh?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  it('is each one’s own, under the same key', async () => {
    const [acme, bolt] = ['acme', 'bolt'].map((tenant) => clients.get(tenant)?.evidence);
    await acme?.put('k', [{ text: 'of acme' }]);
    expect(await bolt?.get('k')).toBeUndefined();
    expect(await bolt?.delete('k')).toBe(false);
    await bolt?.put('k', [{ text: 'of bolt' }]);
    expect((await acme?.get('k'))?.chunks[0]?.text).toBe('of acme');
  });

  it('is for who has a key of a tenant, and for nobody else', async () => {
    using stranger = connect(mesh.address);
    await expect(stranger.evidence.get('k')).rejects.toMatchObject({ reason: 'UNAUTHENTICATED' });
    await expect(mesh.client.evidence.get('k')).rejects.toMatchObject({ reason: 'FORBIDDEN' });
  });

  it('is counted and purged by admins only', async () => {
    await expect(clients.get('acme')?.purgeCache({})).rejects.toMatchObject({ reason: 'FORBIDDEN' });
    await expect(clients.get('acme')?.cacheStats()).rejects.toMatchObject({ reason: 'FORBIDDEN' });
    await clients.get('acme')?.evidence.put('p', [{ text: 'x' }]);
    await clients.get('bolt')?.evidence.put('p', [{ text: 'x' }]);
    await mesh.client.purgeCache({ tenant: 'acme' });
    expect(await clients.get('acme')?.evidence.get('p')).toBeUndefined();
    expect(await clients.get('bolt')?.evidence.get('p')).toBeDefined();
  });
});
