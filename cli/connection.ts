/** How the commands that ask a mesh reach it. */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { z } from 'zod';
import type { ConnectOptions, Mesh } from '../client/index.ts';
import { connect, Fault } from '../client/index.ts';
import { address, isLoopback, list, resolveSettings, toggle } from '../proto/contract/settings.ts';
import { readApiKey } from '../proto/transport/join-token.ts';
import { readIdentity, readPem } from '../proto/transport/pem.ts';
import type { FlagHelp } from './flags.ts';
import { addFlags } from './flags.ts';
import { defaultTokenFile, sourcesOf } from './settings.ts';
import { asUsage } from './usage.ts';

export const connectionSchema = z.object({
  router: list(address())
    .default(['127.0.0.1:50051'])
    .refine((all) => all.length >= 1 && all.length <= 64, 'must be 1 to 64 addresses'),
  tlsCa: z.string().optional(),
  tlsCert: z.string().optional(),
  tlsKey: z.string().optional(),
  apiKeyFile: z.string().optional(),
  allowPlaintext: toggle().default(false),
});

export type ConnectionSettings = Readonly<z.infer<typeof connectionSchema>>;

export const CONNECTION_HELP: FlagHelp<typeof connectionSchema> = {
  router: ['HOST:PORT', 'router to ask; several routers of one mesh take over from each other'],
  tlsCa: ['FILE', "PEM of the authority that signed the router's certificate"],
  tlsCert: ['FILE', 'PEM of the certificate to show the router'],
  tlsKey: ['FILE', 'PEM of its private key'],
  apiKeyFile: ['FILE', 'file with the API key to send'],
  allowPlaintext: ['', 'send the key without TLS to an address that is not loopback'],
};

export const ADMIN_KEY_HELP = [
  'FILE',
  "an admin's API key (default: the router's join-token in your configuration folder, where there is one)",
] as const;

/** On the machine of a router, and by its user, its own token is at hand; it is for no other router. */
export function withOwnKey<T extends ConnectionSettings>(settings: T): T {
  const own = defaultTokenFile();
  const fits = settings.apiKeyFile === undefined && settings.router.every(isLoopback) && existsSync(own);
  return fits ? { ...settings, apiKeyFile: own } : settings;
}

export function addConnectionFlags(command: Command): Command {
  return addFlags(command, connectionSchema, CONNECTION_HELP);
}

/** For commands that have no settings but these. */
export function connectionSettings(command: Command): ConnectionSettings {
  return asUsage(() => resolveSettings(connectionSchema, sourcesOf(command, ['client'])));
}

/** @throws UsageError for files that can't be used, and a key that would travel in the clear */
export function meshOf({ router, ...settings }: ConnectionSettings): Mesh {
  return asUsage(() => connect(router, dialOptions(settings)));
}

function dialOptions({ tlsCa, tlsCert, tlsKey, apiKeyFile, allowPlaintext }: Omit<ConnectionSettings, 'router'>): ConnectOptions {
  const identity = readIdentity(tlsCert, tlsKey);
  return {
    allowPlaintext,
    ...(tlsCa === undefined ? {} : { tls: readPem(tlsCa, '--tls-ca') }),
    ...(identity === undefined ? {} : { identity }),
    ...(apiKeyFile === undefined ? {} : { apiKey: readApiKey(apiKeyFile) }),
  };
}

/** Says where no router answers, and what to do; other faults stay as they are. */
export function withAddress(thrown: unknown, routers: readonly string[]): unknown {
  if (!(thrown instanceof Fault) || thrown.reason !== 'UNREACHABLE') return thrown;
  const message = `no router answers at ${routers.join(', ')}; start a mesh with "infermesh up", or name its router with --router HOST:PORT`;
  return new Fault('UNREACHABLE', message, { cause: thrown });
}

/** Asks the mesh something, and closes the connection. */
export async function withMesh<T>(settings: ConnectionSettings, ask: (mesh: Mesh) => Promise<T>): Promise<T> {
  using mesh = meshOf(settings);
  try {
    return await ask(mesh);
  } catch (thrown) {
    throw withAddress(thrown, settings.router);
  }
}
