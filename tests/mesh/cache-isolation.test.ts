/** Tenants who ask the same get nothing of each other, whatever they share. */
import { randomBytes } from 'node:crypto';
import type { TestContext } from 'vitest';
import { expect, it } from 'vitest';
import type { Mesh } from '../../client/index.ts';
import { CacheSource, NodeState } from '../../client/index.ts';
import type { Cached } from '../../proto/gen/infermesh/v1/inference.ts';
import { ChatResponse } from '../../proto/gen/infermesh/v1/inference.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import { messagesOf } from '../../proto/transport/framing.ts';
import { bearer, digestOfSecret } from '../../proto/transport/join-token.ts';
import { Folder } from '../support/folder.ts';
import { startMesh, TOKEN } from '../support/mesh.ts';
import { redisOrSkip } from '../support/redis.ts';
import { CHAT, chatBytes, RawConnection } from './wire.ts';

const PAIRS = 1000;
const PAIRS_AT_ONCE = 16;
const LEAST_HITS = 999;

interface Pair {
  readonly keys: readonly [string, string];
  readonly prompt: string;
}

/** What one call got. */
interface Got {
  readonly requestId: string;
  readonly cached: Cached | undefined;
}

/** JSON is YAML. */
function tenantsFile(keys: readonly string[]): string {
  const tenants = keys.map((key, index) => [`tenant-${index}`, { keys: [digestOfSecret(key)] }]);
  return JSON.stringify({ tenants: Object.fromEntries(tenants) });
}

const newKey = () => `imk_${randomBytes(24).toString('base64url')}`;

async function ask(wire: RawConnection, key: string, prompt: string): Promise<Got> {
  const message = chatBytes({ messages: [{ role: Role.ROLE_USER, text: prompt }], sampling: { temperature: 0 } });
  const { code, data } = await wire.call(CHAT, message, { authorization: bearer(key) });
  expect(code).toBe(0);
  let got: Got = { requestId: '', cached: undefined };
  for (const { event } of messagesOf(data).map((one) => ChatResponse.decode(one))) {
    if (event?.$case === 'started') got = { ...got, requestId: event.value.requestId };
    else if (event?.$case === 'finished') got = { ...got, cached: event.value.cached };
  }
  return got;
}

interface Tally {
  /** Answers that were another tenant's. */
  crossings: number;
  /** Pairs whose both tenants got an answer of their own again. */
  hits: number;
  fromRedis: number;
}

/** A Redis that is late for once is not waited for: then the answer is given again the next time. */
const MOST_ASKED = 3;

class Tenant {
  readonly #key: string;
  readonly #prompt: string;
  readonly #tally: Tally;
  readonly #own = new Set<string>();

  constructor(key: string, prompt: string, tally: Tally) {
    this.#key = key;
    this.#prompt = prompt;
    this.#tally = tally;
  }

  /** @returns whether it got an answer that it had before */
  async ask(wire: RawConnection): Promise<boolean> {
    const { requestId, cached } = await ask(wire, this.#key, this.#prompt);
    if (cached && !this.#own.has(cached.requestId)) this.#tally.crossings++;
    if (cached?.source === CacheSource.CACHE_SOURCE_REDIS) this.#tally.fromRedis++;
    this.#own.add(requestId);
    return cached !== undefined;
  }

  async askAgain(wire: RawConnection): Promise<boolean> {
    for (let asked = 0; asked < MOST_ASKED; asked++) if (await this.ask(wire)) return true;
    return false;
  }
}

/** @param again where they ask for the second time: the same router, or another one that shares its Redis */
async function askAsPair({ keys, prompt }: Pair, first: RawConnection, again: RawConnection, tally: Tally): Promise<void> {
  const tenants = keys.map((key) => new Tenant(key, prompt, tally));
  // At the same moment, so that they could also read along with each other.
  await Promise.all(tenants.map((tenant) => tenant.ask(first)));
  const got = await Promise.all(tenants.map((tenant) => tenant.askAgain(again)));
  if (got.every(Boolean)) tally.hits++;
}

async function talliedPairs(pairs: readonly Pair[], first: string, again: string): Promise<Tally> {
  await using one = new RawConnection(first);
  await using other = new RawConnection(again);
  const tally: Tally = { crossings: 0, hits: 0, fromRedis: 0 };
  const waiting = pairs.values();
  const worker = async () => {
    for (const pair of waiting) await askAsPair(pair, one, other, tally);
  };
  await Promise.all(Array.from({ length: PAIRS_AT_ONCE }, worker));
  return tally;
}

async function serves(client: Mesh): Promise<void> {
  const serving = async () => (await client.nodes()).filter(({ state }) => state === NodeState.NODE_STATE_SERVING).length;
  await expect.poll(serving).toBe(1);
}

const canned = { engine: 'replay', model: 'canned', replay: 'rate=0,length=3', slots: 64 } as const;
const newPairs = (count: number): Pair[] =>
  Array.from({ length: count }, (_, n) => ({ keys: [newKey(), newKey()], prompt: `what is ${n}?` }));

it('of 1,000 pairs of tenants who ask the same at the same time each gets its own answer again, and nobody the other one', async () => {
  using folder = new Folder();
  const pairs = newPairs(PAIRS);
  const tenants = folder.file('tenants.yaml', tenantsFile(pairs.flatMap(({ keys }) => keys)));
  await using mesh = await startMesh({ nodes: [canned], routerFlags: ['--tenants', tenants], connect: { apiKey: TOKEN } });
  const { crossings, hits } = await talliedPairs(pairs, mesh.address, mesh.address);
  expect(crossings).toBe(0);
  expect(hits).toBeGreaterThanOrEqual(LEAST_HITS);
}, 120_000);

/** Two routers with one Redis, and a node that serves both. */
async function sharing(redisUrl: string, pairs: readonly Pair[], folder: Folder) {
  const tenants = folder.file('tenants.yaml', tenantsFile(pairs.flatMap(({ keys }) => keys)));
  const flags = ['--tenants', tenants, '--redis', redisUrl];
  const mesh = await startMesh({ nodes: [], routerFlags: flags, connect: { apiKey: TOKEN } });
  const other = await mesh.addRouter(flags);
  await mesh.addNode({ ...canned, flags: ['--join', other.address] });
  await serves(other.client);
  return { other, address: mesh.address, [Symbol.asyncDispose]: () => mesh[Symbol.asyncDispose]() };
}

it('of 1,000 pairs of tenants at two routers that share a Redis as well', async (context: TestContext) => {
  await using redis = await redisOrSkip(context, { ofItsOwn: true });
  using folder = new Folder();
  const pairs = newPairs(PAIRS);
  await using mesh = await sharing(redis.url, pairs, folder);
  const { crossings, hits, fromRedis } = await talliedPairs(pairs, mesh.address, mesh.other.address);
  expect(crossings).toBe(0);
  expect(hits).toBeGreaterThanOrEqual(LEAST_HITS);
  expect(fromRedis).toBeGreaterThan(0);
}, 120_000);

it("an answer that somebody puts under another tenant's name in Redis is given to nobody", async (context: TestContext) => {
  await using redis = await redisOrSkip(context, { ofItsOwn: true });
  using folder = new Folder();
  const pairs = newPairs(20);
  await using mesh = await sharing(redis.url, pairs, folder);
  await using one = new RawConnection(mesh.address);
  await using second = new RawConnection(mesh.other.address);
  const askAll = (wire: RawConnection) =>
    Promise.all(pairs.flatMap(({ keys, prompt }) => keys.map((key) => ask(wire, key, prompt))));
  const answers = async () => ((await redis.call('KEYS', 'im1:a:*')) as string[]).toSorted();
  await askAll(one);
  await expect.poll(async () => (await answers()).length).toBeGreaterThan(pairs.length);
  const names = await answers();
  await redis.call('RENAME', names[0] as string, 'aside');
  for (const [index, name] of names.slice(1).entries()) await redis.call('RENAME', name, names[index] as string);
  await redis.call('RENAME', 'aside', names.at(-1) as string);
  const got = await askAll(second);
  expect(got.filter(({ cached }) => cached)).toEqual([]);
  const { layers } = await mesh.other.client.cacheStats();
  expect(layers.reduce((sum, { rejected }) => sum + rejected, 0)).toBeGreaterThan(0);
}, 60_000);
