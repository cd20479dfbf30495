/** infermesh certs */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { integer, list, resolveSettings } from '../../proto/contract/settings.ts';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import type { Bearer, Certificate } from '../certs/authority.ts';
import { Authority, uriOf } from '../certs/authority.ts';
import type { FlagHelp } from '../flags.ts';
import { addFlags } from '../flags.ts';
import { style } from '../output/terminal.ts';
import { sourcesOf } from '../settings.ts';
import { asUsage, UsageError } from '../usage.ts';

const HOST = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)$/;
const NAME = /^[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?$/;
const NAME_BOUND = 'must be 1 to 64 lower-case letters, digits and .-';

const schema = z.object({
  host: list(z.string().regex(HOST, 'must be a host name or an IP address')).default(['localhost', '127.0.0.1', '::1']),
  node: list(z.string().regex(NAME, NAME_BOUND)).default([]),
  client: list(z.string().regex(NAME, NAME_BOUND)).default([]),
  days: integer(1, 825).default(90),
});

const HELP: FlagHelp<typeof schema> = {
  host: ['NAME', 'name or address by which routers are dialled; repeat it, or use commas'],
  node: ['ID', 'id of a node to make a certificate for; repeat it, or use commas'],
  client: ['NAME', 'name of a client to make a certificate for; repeat it, or use commas'],
  days: ['N', 'how long a new authority is good, and all that it signs'],
};

const EXAMPLES = `
Examples:
  infermesh certs certs                                     an authority, and a certificate for a router on this machine
  infermesh certs certs --host router.example --node gpu-1 --client acme
  infermesh certs certs --node gpu-2                        one more, of the authority that is there
  infermesh router --listen 0.0.0.0:50051 --tls-cert certs/router.pem --tls-key certs/router.key --tls-client-ca certs/ca.pem

They are for development: the key of the authority lies beside the others, and nothing is ever revoked.
`;

interface Made {
  readonly file: string;
  readonly content: string;
  readonly secret: boolean;
}

export function define(command: Command): void {
  command.argument('<folder>', 'where to write them; made where there is none');
  addFlags(command, schema, HELP)
    .option('--force', 'replace what is there, the authority as well')
    .addHelpText('after', EXAMPLES);
  action(command, certs);
}

async function certs({ command, args, terminal }: Context): Promise<void> {
  const folder = args[0] as string;
  const settings = asUsage(() => resolveSettings(schema, sourcesOf(command, [])));
  const force = command.opts().force === true;
  const made = await make(settings, force ? undefined : await authorityIn(folder));
  write(folder, made, force);
  const files = made.map(({ file }) => join(folder, file));
  if (terminal.json) {
    terminal.object({ files, days: settings.days });
    return;
  }
  for (const file of files) terminal.line(file);
  terminal.line();
  terminal.line('For development only. What a certificate proves is its name:');
  for (const id of settings.node) terminal.line(`  ${style('bold', uriOf('node', id))}, which node ${id} joins by`);
  for (const name of settings.client)
    terminal.line(`  ${style('bold', uriOf('client', name))}, to be listed with a tenant's certificates`);
  if (made.some(({ file }) => file === 'router.pem'))
    terminal.line(`  ${settings.host.join(', ')}, which routers are dialled by`);
}

/** An authority that is there already signs what is new, and keeps its router. */
async function make({ host, node, client, days }: z.infer<typeof schema>, known?: Authority): Promise<Made[]> {
  const authority = known ?? (await Authority.create(days));
  const more = node.length + client.length > 0;
  const bearers: (readonly [name: string, bearer: Bearer])[] = [
    ...(known && more ? [] : [['router', { type: 'router', hosts: host }] as const]),
    ...node.map((id) => [`node-${id}`, { type: 'node', id }] as const),
    ...client.map((name) => [`client-${name}`, { type: 'client', name }] as const),
  ];
  const issued = await Promise.all(
    bearers.map(async ([name, bearer]) => {
      return filesOf(name, await authority.issue(bearer));
    }),
  );
  return [...(known ? [] : filesOf('ca', await authority.own())), ...issued.flat()];
}

function filesOf(name: string, { cert, key }: Certificate): Made[] {
  return [
    { file: `${name}.pem`, content: cert, secret: false },
    { file: `${name}.key`, content: key, secret: true },
  ];
}

async function authorityIn(folder: string): Promise<Authority | undefined> {
  const [cert, key] = [join(folder, 'ca.pem'), join(folder, 'ca.key')];
  if (!existsSync(cert) || !existsSync(key)) return undefined;
  try {
    return await Authority.open({ cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') });
  } catch {
    throw new UsageError(`${cert} and ${key} are no authority that infermesh certs has made`);
  }
}

/** Nothing is replaced unless that was asked for. */
function write(folder: string, made: readonly Made[], force: boolean): void {
  try {
    mkdirSync(folder, { recursive: true });
    const there = made.map(({ file }) => join(folder, file)).filter((path) => existsSync(path));
    if (there.length > 0 && !force) {
      throw new UsageError(`${there[0]} is there already; give --force to replace what is there, or another folder`);
    }
    for (const { file, content, secret } of made) {
      const path = join(folder, file);
      // A file that is written over keeps its mode, which may be one that others can read.
      rmSync(path, { force: true });
      writeFileSync(path, content, { mode: secret ? 0o600 : 0o644, flag: 'wx' });
    }
  } catch (thrown) {
    if (thrown instanceof UsageError) throw thrown;
    throw new UsageError(`cannot write to ${folder}: ${(thrown as NodeJS.ErrnoException).code}`);
  }
}
