/**
 * The client of Redis, and the only file that knows it: one server, one behind sentinels, or a cluster. Commands are
 * never kept for later nor sent twice, and none is waited for without a limit.
 */
import type { ClusterOptions, RedisOptions } from 'ioredis';
import { Cluster, Redis } from 'ioredis';
import type { RedisCommands } from '../port.ts';
import type { RedisTarget } from './url.ts';

/** What a command waits for at most. Calls are given up sooner; this is for what the client asks by itself. */
export const COMMAND_LIMIT_MS = 200;
const CONNECT_LIMIT_MS = 300;
/** Without a byte while commands wait, the connection is given up. */
const SILENCE_LIMIT_MS = 1_000;
/** How long a connection may take to end in order. */
const END_LIMIT_MS = 100;
const LONGEST_PAUSE_MS = 1_000;
/** How often a server that is loading is asked whether it still is. */
const LOADING_PAUSE_MS = 500;
const SLOTS_REFRESH_MS = 2_000;

export interface RedisClient extends RedisCommands {
  /** Every server that names lie on; none while they are not known. */
  masters(): readonly RedisCommands[];
  /** Whether every server that names lie on says that it serves them. @throws the error of one that does not answer */
  isServing(): Promise<boolean>;
  /** Gives the connection up, for another one. */
  reconnect(): void;
  /** Before a probe: begins anew where the client has ended by itself, and looks where names lie when that may have changed. */
  refresh(): Promise<void>;
  close(): void;
}

export interface ClientEvents {
  ready(): void;
  /** @param error the last one before it; undefined: it just ended */
  lost(error: unknown): void;
}

/**
 * Connects in the background, and again for as long as it takes.
 * @param limitMs for one command; absent: COMMAND_LIMIT_MS
 */
export function connectClient(target: RedisTarget, events: ClientEvents, limitMs = COMMAND_LIMIT_MS): RedisClient {
  const options = { ...connectionOptions(target), commandTimeout: limitMs };
  const client = target.kind === 'cluster' ? clusterOf(target, options) : new Redis(serverOptions(target, options));
  let lastError: unknown;
  client.on('error', (error) => {
    lastError = error;
    // Replies that belong to no command, for one: from here on they might be given to the wrong one.
    if (client instanceof Redis && client.status === 'ready') client.disconnect(true);
  });
  client.on('node error', (error) => {
    lastError = error;
  });
  client.on('ready', () => {
    lastError = undefined;
    events.ready();
  });
  client.on('close', () => events.lost(lastError));
  const refresh = client instanceof Cluster ? refreshOf(client) : async () => undefined;
  const masters = () => {
    if (client.status !== 'ready') return [];
    return (client instanceof Cluster ? client.nodes('master') : [client]).map(commandsOf);
  };
  return {
    call: commandsOf(client).call,
    masters,
    async isServing() {
      // A cluster's server answers a ping also while it may serve no name.
      const ask = (one: RedisCommands) => (target.kind === 'cluster' ? one.call('cluster', 'info') : one.call('ping'));
      const replies = await Promise.all(masters().map(ask));
      return (
        replies.length > 0 && replies.every((reply) => target.kind !== 'cluster' || String(reply).includes('cluster_state:ok'))
      );
    },
    reconnect: () => client.disconnect(true),
    async refresh() {
      if (client.status === 'end') client.connect().catch(() => undefined);
      else await refresh();
    },
    close: () => client.disconnect(),
  };
}

/** A server whose connection ends is forgotten with its names' places; only the cluster knows whether it still has them. */
function refreshOf(cluster: Cluster): () => Promise<void> {
  let stale = false;
  cluster.on('-node', () => {
    stale = true;
  });
  return async () => {
    if (!stale || cluster.status !== 'ready') return;
    stale = false;
    await new Promise<void>((resolve) => cluster.refreshSlotsCache(() => resolve()));
  };
}

/** Lower-case, since the client looks for keys by lower-case names. */
function commandsOf(client: Redis | Cluster): RedisCommands {
  return { call: (command, ...args) => client.callBuffer(command.toLowerCase(), ...args) };
}

const pauseAfter = (attempts: number) => Math.min(50 * 2 ** Math.min(attempts - 1, 10), LONGEST_PAUSE_MS);

function connectionOptions({ username, password, tls }: RedisTarget) {
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls ? { tls: {} } : {}),
    connectionName: 'infermesh',
    disableClientInfo: true,
    connectTimeout: CONNECT_LIMIT_MS,
    socketTimeout: SILENCE_LIMIT_MS,
    disconnectTimeout: END_LIMIT_MS,
    maxLoadingRetryTime: LOADING_PAUSE_MS,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
  } satisfies RedisOptions;
}

function serverOptions(target: RedisTarget, options: RedisOptions): RedisOptions {
  const common = { ...options, db: target.db, enableOfflineQueue: false, retryStrategy: pauseAfter };
  const [first] = target.hosts;
  if (target.kind === 'standalone') return { ...common, ...first };
  return {
    ...common,
    sentinels: [...target.hosts],
    name: target.masterName as string,
    sentinelCommandTimeout: COMMAND_LIMIT_MS,
    sentinelRetryStrategy: pauseAfter,
    ...(target.tls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {}),
  };
}

/**
 * Delays for redirections are off: what can't be answered now is not in the cache. A node's own commands do wait for its
 * connection, which the library insists on; the limit of each command bounds that.
 */
function clusterOf(target: RedisTarget, redisOptions: RedisOptions): Cluster {
  const options: ClusterOptions = {
    enableOfflineQueue: false,
    clusterRetryStrategy: pauseAfter,
    maxRedirections: 5,
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    retryDelayOnTryAgain: 10,
    slotsRefreshTimeout: CONNECT_LIMIT_MS,
    slotsRefreshInterval: SLOTS_REFRESH_MS,
    redisOptions,
    // A certificate names a host, not its address.
    ...(target.tls ? { dnsLookup: (address, found) => found(null, address) } : {}),
  };
  return new Cluster([...target.hosts], options);
}
