/** What of a cache outlives the processes that filled it, and what a purge and a wrong secret do, on real ones. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { Mesh } from '../../client/index.ts';
import { infermesh } from '../cli/run.ts';
import { startMesh } from '../support/mesh.ts';
import { redisOrSkip } from '../support/redis.ts';

const folder = mkdtempSync(join(tmpdir(), 'infermesh-cache-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const put = (client: Mesh, key: string) => client.evidence.put(key, [{ text: `of ${key}` }]);
const has = async (client: Mesh, key: string) => (await client.evidence.get(key)) !== undefined;
const soon = (value: () => unknown) => expect.poll(value);

/** How many values of any kind lie in a layer of Redis. */
async function written(client: Mesh): Promise<number> {
  return (await client.cacheStats()).layers.reduce((sum, { writes }) => sum + writes, 0);
}

it('Redis with an append-only file and the routers are restarted, and everything is there', async (context) => {
  await using redis = await redisOrSkip(context, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
  const flags = ['--redis', redis.url];
  await using mesh = await startMesh({ nodes: [], routerFlags: flags });
  const keys = Array.from({ length: 50 }, (_, index) => `key ${index}`);
  await soon(async () => {
    for (const key of keys) await put(mesh.client, key);
    return written(mesh.client);
  }).toBeGreaterThanOrEqual(keys.length);
  await mesh.router.stop();
  const names = (await redis.call('KEYS', 'im1:e:*')) as string[];
  expect(names).toHaveLength(keys.length);
  for (const name of names) expect(`${name} ${await redis.call('GET', name)}`).not.toMatch(/key \d/);
  await redis.kill();
  await redis.restart();
  const { client } = await mesh.addRouter(flags);
  await soon(async () => (await client.evidence.getAll(keys)).filter((one) => one === undefined).length).toBe(0);
  const [, evidence] = (await client.cacheStats()).layers;
  expect(evidence).toMatchObject({ rejected: 0 });
  expect(evidence?.hitsRedis).toBeGreaterThan(0);
}, 60_000);

it('a router without Redis is restarted, and has what its snapshot has', async () => {
  const flags = ['--cache-snapshot', join(folder, 'snapshot')];
  await using mesh = await startMesh({ nodes: [], routerFlags: flags });
  await put(mesh.client, 'canary-key');
  await put(mesh.client, 'to be deleted');
  await mesh.client.evidence.delete('to be deleted');
  await mesh.router.stop();
  expect(readFileSync(join(folder, 'snapshot')).includes('canary')).toBe(false);
  const { client } = await mesh.addRouter(flags);
  expect(await has(client, 'canary-key')).toBe(true);
  expect(await has(client, 'to be deleted')).toBe(false);
}, 60_000);

it('a damaged snapshot is one line of the log, and the router starts', async () => {
  const path = join(folder, 'damaged');
  writeFileSync(path, 'no snapshot at all');
  await using mesh = await startMesh({ nodes: [], routerFlags: ['--cache-snapshot', path] });
  await put(mesh.client, 'k');
  expect(await has(mesh.client, 'k')).toBe(true);
  expect(mesh.router.output().match(/cache_snapshot_ignored/g)).toHaveLength(1);
}, 60_000);

it('a purge at one router reaches Redis and the other router', async (context) => {
  await using redis = await redisOrSkip(context);
  const flags = ['--redis', redis.url];
  await using mesh = await startMesh({ nodes: [], routerFlags: flags });
  const other = await mesh.addRouter(flags);
  await soon(async () => {
    await put(mesh.client, 'k');
    return has(other.client, 'k');
  }).toBe(true);
  const { code, stdout } = await infermesh(['cache', 'purge', '--router', mesh.address, '--json']);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toEqual({ memory: 1, redis: 1 });
  expect(await has(mesh.client, 'k')).toBe(false);
  await soon(() => has(other.client, 'k')).toBe(false);
  expect((await infermesh(['cache', 'stats', '--router', mesh.address])).stdout).toMatch(/redis +up +standalone \d/);
}, 60_000);

it('a router with another secret shares nothing, and one of the two says so', async (context) => {
  await using redis = await redisOrSkip(context, { ofItsOwn: true });
  const flags = ['--redis', redis.url];
  await using mesh = await startMesh({ nodes: [], routerFlags: flags });
  const stranger = await mesh.addRouter([...flags, '--cache-secret', join(folder, 'another-secret')]);
  const output = () => `${mesh.router.output()}${stranger.member.output()}`;
  await soon(() => output().match(/"event":"cache_secret_differs"/g)?.length).toBe(1);
  await put(mesh.client, 'k');
  await soon(() => written(mesh.client)).toBeGreaterThan(0);
  expect(await has(stranger.client, 'k')).toBe(false);
  expect((await stranger.client.cacheStats()).layers[1]?.rejected).toBe(0);
}, 60_000);

it('a cache that is off is said to be so, and takes what it is given without a word', async () => {
  await using mesh = await startMesh({ nodes: [], routerFlags: ['--no-cache'] });
  await put(mesh.client, 'k');
  expect(await has(mesh.client, 'k')).toBe(false);
  expect((await infermesh(['cache', 'stats', '--router', mesh.address])).stdout).toContain('off');
}, 60_000);
