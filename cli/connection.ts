/** How the commands that ask a mesh reach it. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { z } from 'zod';
import type { Mesh } from '../client/index.ts';
import { connect, Fault } from '../client/index.ts';
import { address, resolveSettings } from '../proto/contract/settings.ts';
import type { FlagHelp } from './flags.ts';
import { addFlags } from './flags.ts';
import { sourcesOf } from './settings.ts';
import { asUsage, UsageError } from './usage.ts';

export const connectionSchema = z.object({
  router: address().default('127.0.0.1:50051'),
  tlsCa: z.string().optional(),
});

export type ConnectionSettings = Readonly<z.infer<typeof connectionSchema>>;

export const CONNECTION_HELP: FlagHelp<typeof connectionSchema> = {
  router: ['HOST:PORT', 'router to ask'],
  tlsCa: ['FILE', "PEM of the authority that signed the router's certificate"],
};

export function addConnectionFlags(command: Command): Command {
  return addFlags(command, connectionSchema, CONNECTION_HELP);
}

/** For commands that have no settings but these. */
export function connectionSettings(command: Command): ConnectionSettings {
  return asUsage(() => resolveSettings(connectionSchema, sourcesOf(command, ['client'])));
}

export function meshOf({ router, tlsCa }: ConnectionSettings): Mesh {
  return connect(router, tlsCa === undefined ? {} : { tls: readPem(tlsCa) });
}

/** Says where no router answers, and what to do; other faults stay as they are. */
export function withAddress(thrown: unknown, router: string): unknown {
  if (!(thrown instanceof Fault) || thrown.reason !== 'UNREACHABLE') return thrown;
  const message = `no router answers at ${router}; start a mesh with "infermesh up", or name its router with --router HOST:PORT`;
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

function readPem(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`cannot read --tls-ca ${path}: ${(error as NodeJS.ErrnoException).code}`);
  }
}
