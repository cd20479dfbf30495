/** Several redis-server processes of a test that belong together: a cluster of three, or two with a sentinel. */
import { setTimeout as pause } from 'node:timers/promises';
import type { RedisServer } from './redis-server.ts';
import { callOnce, startServer } from './redis-server.ts';

const SLOTS = 16_384;
const LIMIT_MS = 30_000;
const MASTER = 'mymaster';

export interface RedisCluster extends AsyncDisposable {
  readonly url: string;
  /** Each has a third of the slots. */
  readonly servers: readonly RedisServer[];
}

export interface RedisSentinel extends AsyncDisposable {
  readonly url: string;
  readonly master: RedisServer;
  readonly replica: RedisServer;
  /** Kills the master; resolves when the replica has its place. */
  failOver(): Promise<void>;
}

export async function startCluster(binary: string): Promise<RedisCluster> {
  await using stack = new AsyncDisposableStack();
  const servers: RedisServer[] = [];
  for (let index = 0; index < 3; index++) {
    servers.push(stack.use(await startServer(binary, { clustered: true, args: ['--cluster-node-timeout', '2000'] })));
  }
  const [first] = servers as [RedisServer];
  for (const [index, server] of servers.entries()) {
    const [from, to] = [index, index + 1].map((third) => Math.floor((third * SLOTS) / servers.length)) as [number, number];
    await server.call('cluster', 'set-config-epoch', index + 1);
    await server.call('cluster', 'addslotsrange', from, to - 1);
    if (server !== first) await server.call('cluster', 'meet', server.host, first.port, await busPort(first));
  }
  await Promise.all(
    servers.map((server) => until(async () => isWhole(String(await server.call('cluster', 'info')), servers.length))),
  );
  const running = stack.move();
  return {
    url: `redis+cluster://${servers.map(({ host, port }) => `${host}:${port}`).join(',')}`,
    servers,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function busPort(server: RedisServer): Promise<number> {
  const [, port] = (await server.call('config', 'get', 'cluster-port')) as [string, string];
  return Number(port);
}

const isWhole = (info: string, count: number) =>
  info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${count}`);

export async function startSentinel(binary: string): Promise<RedisSentinel> {
  await using stack = new AsyncDisposableStack();
  const master = stack.use(await startServer(binary));
  const replica = stack.use(await startServer(binary, { args: ['--replicaof', `${master.host} ${master.port}`] }));
  await until(async () => String(await replica.call('info', 'replication')).includes('master_link_status:up'));
  const sentinel = stack.use(await startServer(binary, { sentinelOf: { name: MASTER, host: master.host, port: master.port } }));
  await until(async () => String(await sentinel.call('info', 'sentinel')).includes('slaves=1'));
  const masterPort = async () => Number((await addressOf(sentinel.url))[1]);
  const running = stack.move();
  return {
    url: `redis+sentinel://${sentinel.host}:${sentinel.port}/${MASTER}`,
    master,
    replica,
    async failOver() {
      await master.kill();
      await until(async () => (await masterPort()) === replica.port);
      await until(async () => String(await replica.call('info', 'replication')).includes('role:master'));
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

const addressOf = async (url: string) =>
  (await callOnce(url, 'sentinel', ['get-master-addr-by-name', MASTER])) as [string, string];

/** These servers tell nobody when they are ready, so they are asked. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + LIMIT_MS;
  while (!(await holds().catch(() => false))) {
    if (performance.now() > end) throw new Error('the servers did not come together in time');
    await pause(20);
  }
}
