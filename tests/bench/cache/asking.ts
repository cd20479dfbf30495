/** Meshes to be asked, and requests put to them by clients in a process of their own. */
import type { Mesh } from '../../../client/index.ts';
import { CacheSource, NodeState } from '../../../client/index.ts';
import type { NodeOptions, TestMesh } from '../../support/mesh.ts';
import { startMesh } from '../../support/mesh.ts';
import { forkScript } from '../support/process.ts';
import type { Answer, Ask, Request } from './clients.ts';

/** One router or several, and nodes that serve all of them. */
export interface Asked extends AsyncDisposable {
  readonly addresses: readonly string[];
  /** Of each router. */
  readonly clients: readonly Mesh[];
}

export async function startAsked(nodes: readonly NodeOptions[], flags: readonly string[], routers = 1): Promise<Asked> {
  const mesh = await startMesh({ nodes: [], routerFlags: flags });
  try {
    const others = [];
    for (let n = 1; n < routers; n++) others.push(await mesh.addRouter(flags));
    const joins = others.flatMap(({ address }) => ['--join', address]);
    await Promise.all(nodes.map((node) => mesh.addNode({ ...node, flags: [...(node.flags ?? []), ...joins] })));
    await Promise.all(others.map(({ client }) => serving(client, nodes.length)));
    return asked(mesh, [mesh.client, ...others.map(({ client }) => client)], [mesh.address, ...others.map((one) => one.address)]);
  } catch (error) {
    await mesh[Symbol.asyncDispose]();
    throw error;
  }
}

function asked(mesh: TestMesh, clients: readonly Mesh[], addresses: readonly string[]): Asked {
  return { addresses, clients, [Symbol.asyncDispose]: () => mesh[Symbol.asyncDispose]() };
}

async function serving(client: Mesh, count: number): Promise<void> {
  const isServing = ({ state }: { state: NodeState }) => state === NodeState.NODE_STATE_SERVING;
  for await (const nodes of client.watchNodes(100)) if (nodes.filter(isServing).length === count) return;
}

export interface Way {
  /** Requests at the same time; 0: each at its moment. */
  readonly atOnce: number;
  /** To each router. */
  readonly connections: number;
}

/** @throws Error when one of them fails: a benchmark of failures has no figures */
export async function ask({ addresses }: Asked, requests: readonly Request[], way: Way): Promise<readonly Answer[]> {
  await using clients = forkScript(new URL('./clients.ts', import.meta.url));
  const message: Ask = { type: 'ask', addresses, requests, ...way };
  const { answers } = await clients.ask<{ answers: readonly Answer[] }>(message, 'answered');
  const failed = answers.find(({ code }) => code !== 0);
  if (failed) throw new Error(`a request ended with gRPC code ${failed.code}`);
  return answers;
}

export const isFromMemory = ({ source }: Answer) => source === CacheSource.CACHE_SOURCE_MEMORY;
export const isFromRedis = ({ source }: Answer) => source === CacheSource.CACHE_SOURCE_REDIS;
/** From anywhere, an equal request that was being answered included. */
export const isReused = ({ source }: Answer) => source !== CacheSource.CACHE_SOURCE_UNSPECIFIED;

export interface Spent {
  /** CPU time of all routers together, in seconds. */
  readonly cpuSeconds: number;
  readonly tokens: number;
}

/** What the routers did while `act` ran. */
export async function spentWhile({ clients }: Asked, act: () => Promise<unknown>): Promise<Spent> {
  const before = await spentBy(clients);
  await act();
  const after = await spentBy(clients);
  return { cpuSeconds: after.cpuSeconds - before.cpuSeconds, tokens: after.tokens - before.tokens };
}

async function spentBy(clients: readonly Mesh[]): Promise<Spent> {
  const all = await Promise.all(clients.map((client) => client.stats()));
  const cpuSeconds = all.reduce((sum, stats) => sum + stats.cpuSeconds, 0);
  return { cpuSeconds, tokens: all.reduce((sum, { tokensRelayed }) => sum + tokensRelayed, 0) };
}
