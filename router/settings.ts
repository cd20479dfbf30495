/** What a router can be told, with its defaults. */
import { z } from 'zod';
import { Fault } from '../proto/contract/faults.ts';
import type { SettingSources } from '../proto/contract/settings.ts';
import { address, integer, isLoopback, logLevel, resolveSettings, toggle } from '../proto/contract/settings.ts';

export const routerSchema = z.object({
  listen: address().default('127.0.0.1:50051'),
  /** Made where it does not exist. */
  tokenFile: z.string().min(1, 'must be a path'),
  tlsCert: z.string().optional(),
  tlsKey: z.string().optional(),
  /** Whose certificates are taken as proof of who a client or node is. */
  tlsClientCa: z.string().optional(),
  /** Of clients and nodes that have none: required sends them away, optional lets them in by other credentials. */
  tlsClientAuth: z.enum(['required', 'optional'], { error: 'must be required or optional' }).default('required'),
  allowPlaintext: toggle().default(false),
  /** How long running requests may go on when the router is told to end. */
  drainMs: integer(0, 3_600_000).default(30_000),
  /** How the token path writes; grpc-js is the slower one, for comparison. */
  writer: z.enum(['http2', 'grpc-js'], { error: 'must be http2 or grpc-js' }).default('http2'),
  /** YAML: who may call, and how much; without it everybody may. */
  tenants: z.string().min(1, 'must be a path').optional(),
  /** Folder of join tokens and of the nodes that used one; without it, `trust` beside the token file. */
  trust: z.string().min(1, 'must be a path').optional(),
  /** YAML: what is weighed, permitted and forbidden, for everybody and for tenants; without it, DEFAULT_POLICY. */
  policy: z.string().min(1, 'must be a path').optional(),
  /** Where what was learnt is kept over a restart; without it, it is forgotten. */
  learned: z.string().min(1, 'must be a path').optional(),
  /** Folder for one line of JSON per choice, 30 days of them; without it, none is kept. */
  decisionLog: z.string().min(1, 'must be a path').optional(),
  /** Off: nothing is answered twice by one generation, and evidence is not kept. */
  cache: toggle().default(true),
  /** URL of the Redis that routers share; without it, each has its own memory alone. */
  redis: z.string().min(1, 'must be a URL').optional(),
  /** Of the cache in this process, in units of 2^20 bytes. */
  cacheMemoryMb: integer(1, 65_536).default(64),
  /** Names and seals what is cached; made where it does not exist; without it, `cache-secret` beside the token file. */
  cacheSecret: z.string().min(1, 'must be a path').optional(),
  /** Where the most used entries are kept over a restart of a router without Redis. */
  cacheSnapshot: z.string().min(1, 'must be a path').optional(),
  logLevel: logLevel().default('info'),
});

export type RouterSettings = Readonly<z.infer<typeof routerSchema>>;

/** @throws Fault INVALID_REQUEST */
export function routerSettings(sources: SettingSources): RouterSettings {
  const settings = resolveSettings(routerSchema, sources);
  if ((settings.tlsCert === undefined) !== (settings.tlsKey === undefined)) {
    throw new Fault('INVALID_REQUEST', '--tls-cert and --tls-key need each other');
  }
  if (settings.tlsClientCa !== undefined && settings.tlsCert === undefined) {
    throw new Fault('INVALID_REQUEST', '--tls-client-ca needs --tls-cert and --tls-key');
  }
  if (settings.cacheSnapshot !== undefined && settings.redis !== undefined) {
    throw new Fault('INVALID_REQUEST', '--cache-snapshot is for a router without --redis, which keeps what is cached itself');
  }
  if (!isLoopback(settings.listen) && !settings.tlsCert && !settings.allowPlaintext) {
    throw new Fault(
      'INVALID_REQUEST',
      `--listen ${settings.listen} is not loopback: give --tls-cert and --tls-key, or --allow-plaintext on a network you trust`,
    );
  }
  return settings;
}
