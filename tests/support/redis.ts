/**
 * A real Redis for tests:
 *
 *   test('...', async (context) => {
 *     await using redis = await redisOrSkip(context);
 *     ... redis.url ...
 *   });
 *
 * With REDIS_URL or a container the server is lent and not to be broken: `redis.pid` is undefined. Who kills, freezes or
 * configures it asks for one `ofItsOwn`.
 */
import type { TestContext } from 'vitest';
import type { RedisServer, ServerOptions } from './redis-server.ts';
import { callOnce, startServer } from './redis-server.ts';
import { findRedis } from './redis-source.ts';

export type { RedisCluster, RedisSentinel } from './redis-cluster.ts';
export { startCluster, startSentinel } from './redis-cluster.ts';
export type { RedisServer } from './redis-server.ts';

export interface RedisNeeds extends ServerOptions {
  /** A process that the test may kill and freeze; options of the server imply it. */
  readonly ofItsOwn?: boolean;
}

declare module 'vitest' {
  interface TaskMeta {
    /** Where the test had its Redis from, for the summary. */
    redis?: string;
  }
}

/** Skips the test, with the reason, where no Redis can be had. */
export async function redisOrSkip(context: TestContext, needs: RedisNeeds = {}): Promise<RedisServer> {
  await binaryOrSkip(context, isOfItsOwn(needs));
  return startRedis(needs);
}

/** The program, for startCluster and startSentinel. */
export async function binaryOrSkip(context: TestContext, ofItsOwn = true): Promise<string> {
  const source = await findRedis(ofItsOwn);
  context.task.meta.redis = source.line;
  if (source.kind === 'none') context.skip(source.line);
  return source.kind === 'process' ? source.binary : '';
}

/** For benchmarks and chaos, which have no test to skip. @throws Error where none can be had, with the reason */
export async function startRedis(needs: RedisNeeds = {}): Promise<RedisServer> {
  const source = await findRedis(isOfItsOwn(needs));
  if (source.kind === 'process') return startServer(source.binary, needs);
  if (source.kind === 'url') return lent(source.url, async () => undefined);
  if (source.kind === 'container') return startContainer(source.image);
  throw new Error(source.line);
}

function isOfItsOwn({ ofItsOwn = false, args, port }: RedisNeeds): boolean {
  return ofItsOwn || args !== undefined || port !== undefined;
}

async function startContainer(image: string): Promise<RedisServer> {
  const { GenericContainer } = await import('testcontainers');
  const container = await new GenericContainer(image).withExposedPorts(6379).start();
  const stop = async () => {
    await container.stop();
  };
  return lent(`redis://${container.getHost()}:${container.getMappedPort(6379)}`, stop);
}

function lent(url: string, end: () => Promise<void>): RedisServer {
  const { hostname, port } = new URL(url);
  const never = () => {
    throw new Error('this server is lent: ask for one `ofItsOwn`');
  };
  return {
    url,
    host: hostname,
    port: Number(port || 6379),
    pid: undefined,
    call: (command, ...args) => callOnce(url, command, args),
    kill: async () => never(),
    freeze: never,
    thaw: never,
    restart: async () => never(),
    [Symbol.asyncDispose]: end,
  };
}
