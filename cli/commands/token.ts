/** infermesh token */
import type { Command } from 'commander';
import { z } from 'zod';
import { resolveSettings } from '../../proto/contract/settings.ts';
import { digestOfSecret, newSecret } from '../../proto/transport/join-token.ts';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import { ADMIN_KEY_HELP, CONNECTION_HELP, connectionSchema, withMesh, withOwnKey } from '../connection.ts';
import type { FlagHelp } from '../flags.ts';
import { addFlags } from '../flags.ts';
import { style } from '../output/terminal.ts';
import { sourcesOf } from '../settings.ts';
import { asUsage } from '../usage.ts';

const EXAMPLES = `
Examples:
  infermesh token create                                    lets one node join, within 10 minutes
  infermesh token create --node gpu-1 --ttl 2m              lets in gpu-1 and no other
  infermesh token create --tenant acme                      a new API key, and the line for the tenants file
`;

const UNITS = { s: 1, m: 60, h: 3600 };
const TTL = /^(\d{1,5})([smh])$/;

const schema = connectionSchema.extend({
  node: z.string().optional(),
  ttl: z.string().regex(TTL, 'must be a whole number and s, m or h').default('10m'),
  tenant: z
    .string()
    .regex(/^[\x21-\x7e]{1,128}$/, 'must be 1 to 128 printable ASCII characters')
    .optional(),
});

const HELP: FlagHelp<typeof schema> = {
  ...CONNECTION_HELP,
  apiKeyFile: ADMIN_KEY_HELP,
  node: ['ID', 'the only node that it lets in'],
  ttl: ['TIME', 'how long it is good: 90s, 10m, 1h'],
  tenant: ['ID', 'make an API key for a tenant instead; no router is asked'],
};

export function define(command: Command): void {
  command.addHelpText('after', EXAMPLES).helpCommand(false);
  const made = command
    .command('create')
    .summary('make a token for a node, or an API key for a tenant')
    .description('Makes a token that lets one node join once, or an API key for a tenant.');
  addFlags(made, schema, HELP);
  action(made, create);
}

async function create(context: Context): Promise<void> {
  const { command, terminal } = context;
  const settings = withOwnKey(asUsage(() => resolveSettings(schema, sourcesOf(command, ['client']))));
  const { tenant, node, ttl } = settings;
  if (tenant !== undefined) return keyFor(tenant, context);
  const { token, expiresAt } = await withMesh(settings, (mesh) =>
    mesh.createJoinToken({ ttlSeconds: secondsOf(ttl), ...(node === undefined ? {} : { node }) }),
  );
  if (terminal.json) {
    terminal.object({ token, expiresAt: expiresAt.toISOString() });
    return;
  }
  terminal.line(token);
  terminal.note(style('dim', `good once, for ${node ?? 'any node'}, until ${expiresAt.toISOString()}; on the node's machine:`));
  const trust = settings.tlsCa === undefined ? '' : ' --tls-ca ca.pem';
  const id = node === undefined ? '' : ` --id ${node}`;
  terminal.note(style('dim', `  infermesh node --join ${settings.router}${trust}${id} --join-token TOKEN --model NAME`));
}

/** The key on stdout; what the router is to be told of it beside. */
function keyFor(tenant: string, { terminal }: Context): void {
  const key = newSecret('imk_');
  const digest = digestOfSecret(key);
  if (terminal.json) {
    terminal.object({ tenant, key, digest });
    return;
  }
  terminal.line(key);
  terminal.note(style('dim', `the tenants file of the router needs its hash alone, in the keys of ${tenant}:`));
  terminal.note(`  - ${digest}`);
}

function secondsOf(ttl: string): number {
  const [, amount, unit] = TTL.exec(ttl) as RegExpExecArray;
  return Number(amount) * UNITS[unit as keyof typeof UNITS];
}
