/** infermesh drain */
import type { Command } from 'commander';
import type { Mesh } from '../../client/index.ts';
import { Fault } from '../../client/index.ts';
import { integer, resolveSettings } from '../../proto/contract/settings.ts';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import { CONNECTION_HELP, connectionSchema, withMesh } from '../connection.ts';
import type { FlagHelp } from '../flags.ts';
import { addFlags } from '../flags.ts';
import { sourcesOf } from '../settings.ts';
import { asUsage } from '../usage.ts';

const EXAMPLES = `
Examples:
  infermesh drain gpu-1
  infermesh drain gpu-1 --drain-ms 5000     what runs longer goes on at another node

Returns when the node has left. Ctrl-C ends the waiting, not the drain.
`;

const WATCH_MS = 200;

const schema = connectionSchema.extend({ drainMs: integer(0, 3_600_000).default(30_000) });

const HELP: FlagHelp<typeof schema> = {
  ...CONNECTION_HELP,
  drainMs: ['MS', 'how long running requests may go on there'],
};

export function define(command: Command): void {
  command.argument('<node>', 'id of the node, as infermesh ps shows it');
  addFlags(command, schema, HELP).addHelpText('after', EXAMPLES);
  action(command, drain);
}

async function drain({ command, args, terminal, interrupts }: Context): Promise<void> {
  const settings = asUsage(() => resolveSettings(schema, sourcesOf(command, ['client'])));
  const [node = ''] = args;
  await withMesh(settings, async (mesh) => {
    const epoch = await epochOf(mesh, node);
    const inFlight = await mesh.drain(node, settings.drainMs);
    if (!terminal.json)
      terminal.line(`${node} takes nothing new; ${inFlight} ${inFlight === 1 ? 'request runs' : 'requests run'} there`);
    const left = await hasLeft(mesh, node, epoch, interrupts.signal);
    if (terminal.json) terminal.object({ node, inFlight, left });
    else terminal.line(left ? `${node} has left` : `${node} is still draining`);
  });
}

async function epochOf(mesh: Mesh, id: string): Promise<number> {
  const found = (await mesh.nodes()).find((node) => node.id === id);
  if (!found) throw new Fault('NODE_UNKNOWN', `no node ${id} is attached to the router; infermesh ps shows those that are`);
  return found.epoch;
}

/** @returns false when the waiting was ended first */
async function hasLeft(mesh: Mesh, id: string, epoch: number, signal: AbortSignal): Promise<boolean> {
  for await (const nodes of mesh.watchNodes(WATCH_MS, signal)) {
    // One that is started again at once has left too.
    if (!nodes.some((node) => node.id === id && node.epoch === epoch)) return true;
  }
  return false;
}
