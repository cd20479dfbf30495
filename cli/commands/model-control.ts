/** infermesh models load, unload and swap: what nodes of the mesh have in memory. */
import type { Command } from 'commander';
import { z } from 'zod';
import type { Mesh, ModelStep } from '../../client/index.ts';
import { integer, list, resolveSettings, toggle } from '../../proto/contract/settings.ts';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import { ADMIN_KEY_HELP, CONNECTION_HELP, connectionSchema, withMesh, withOwnKey } from '../connection.ts';
import type { FlagHelp } from '../flags.ts';
import { addFlags } from '../flags.ts';
import { openProgress } from '../output/progress.ts';
import { harmless, style } from '../output/terminal.ts';
import { sourcesOf } from '../settings.ts';
import { asUsage } from '../usage.ts';

const base = connectionSchema.extend({ node: list(z.string()).default([]) });
const pull = { pull: toggle().default(false) };
const limit = { drainMs: integer(0, 3_600_000).default(30_000) };
const loadSchema = base.extend({ ...pull, slots: integer(1, 16_384).optional() });
const unloadSchema = base.extend(limit);
const swapSchema = base.extend({ ...pull, ...limit });

const BASE_HELP = { ...CONNECTION_HELP, apiKeyFile: ADMIN_KEY_HELP } as const;
const PULL_HELP = ['', 'let the node fetch the weights where they are missing'] as const;
const LIMIT_HELP = ['MS', 'how long running requests may go on; what is left then goes on elsewhere'] as const;
const HAVING_HELP = [
  'ID',
  'only this node; repeat it, or use commas, for several (default: every node that has it in memory)',
] as const;

const LOAD_HELP: FlagHelp<typeof loadSchema> = {
  ...BASE_HELP,
  node: ['ID', 'this node; repeat it, or use commas, for several (default: the one that fits best)'],
  pull: PULL_HELP,
  slots: ['N', 'requests to generate for at the same time (default: as the node was started)'],
};
const UNLOAD_HELP: FlagHelp<typeof unloadSchema> = { ...BASE_HELP, node: HAVING_HELP, drainMs: LIMIT_HELP };
const SWAP_HELP: FlagHelp<typeof swapSchema> = { ...BASE_HELP, node: HAVING_HELP, pull: PULL_HELP, drainMs: LIMIT_HELP };

const AFTER = `
Ctrl-C ends the telling, not the work. A version of a model is named by NAME@ and the first 8 or more digits of its digest.
`;
const LOAD_EXAMPLES = `
Examples:
  infermesh models load qwen2.5-0.5b-instruct --pull        on the node that fits best
  infermesh models load tinyllama-1.1b-chat --node gpu-1 --slots 8
${AFTER}`;
const UNLOAD_EXAMPLES = `
Examples:
  infermesh models unload tinyllama-1.1b-chat               nodes load it again when a request wants it
  infermesh models unload stories-15m --node gpu-1 --drain-ms 5000
${AFTER}`;
const SWAP_EXAMPLES = `
Examples:
  infermesh models swap stories-15m tinyllama-1.1b-chat     one node after the other, and no request fails for it
  infermesh models swap mistral-7b-instruct mistral-7b-instruct@270ffb3c --node gpu-1
${AFTER}`;

const NAME = 'as infermesh models lists it';

/** Adds the subcommands to infermesh models. */
export function defineControl(command: Command): void {
  const load = made(command, 'load', 'have a node bring a model into memory').argument('<NAME>', NAME);
  addFlags(load, loadSchema, LOAD_HELP).addHelpText('after', LOAD_EXAMPLES);
  action(load, (context) => {
    const { node: nodes, pull, slots, ...settings } = settingsOf(loadSchema, context);
    const [name = ''] = context.args;
    const options = { nodes, pull, ...(slots === undefined ? {} : { slots }) };
    return follow(context, settings, (mesh, signal) => mesh.loadModel(name, { ...options, signal }), 'is in memory');
  });
  const unload = made(command, 'unload', 'have nodes take a model out of memory').argument('<NAME>', NAME);
  addFlags(unload, unloadSchema, UNLOAD_HELP).addHelpText('after', UNLOAD_EXAMPLES);
  action(unload, (context) => {
    const { node: nodes, drainMs: limitMs, ...settings } = settingsOf(unloadSchema, context);
    const [name = ''] = context.args;
    return follow(context, settings, (mesh, signal) => mesh.unloadModel(name, { nodes, limitMs, signal }), 'is out of memory');
  });
  const swap = made(command, 'swap', 'have nodes load a model beside another and let it take over')
    .argument('<FROM>', 'the one that goes')
    .argument('<TO>', 'the one that comes');
  addFlags(swap, swapSchema, SWAP_HELP).addHelpText('after', SWAP_EXAMPLES);
  action(swap, (context) => {
    const { node: nodes, pull, drainMs: limitMs, ...settings } = settingsOf(swapSchema, context);
    const [from = '', to = ''] = context.args;
    const options = { nodes, pull, limitMs };
    return follow(
      context,
      settings,
      (mesh, signal) => mesh.swapModel(from, to, { ...options, signal }),
      `took over from ${from}`,
    );
  });
}

function made(command: Command, name: string, summary: string): Command {
  return command
    .command(name)
    .summary(summary)
    .description(`${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`);
}

function settingsOf<T extends z.ZodObject>(schema: T, { command }: Context): Readonly<z.infer<T>> {
  return asUsage(() => resolveSettings(schema, sourcesOf(command, ['client'])));
}

type Steps = (mesh: Mesh, signal: AbortSignal) => AsyncIterable<ModelStep>;

/** Tells how far each node comes. One that fails makes the command fail, when all are through. */
async function follow(
  { terminal, interrupts }: Context,
  settings: Parameters<typeof withMesh>[0],
  steps: Steps,
  done: string,
): Promise<void> {
  await withMesh(withOwnKey(settings), async (mesh) => {
    const progress = openProgress(terminal);
    const ends: string[] = [];
    try {
      for await (const step of steps(mesh, interrupts.signal)) {
        const { node, stage, fraction } = step;
        const isEnd = stage === 'done' || stage === 'failed';
        if (terminal.json) terminal.object(readable(step));
        else if (isEnd) ends.push(endOf(step, done));
        else progress.step(harmless(node), { phase: stage, fraction, detail: '' });
        if (stage === 'failed') process.exitCode = 1;
      }
    } finally {
      progress.end();
      for (const end of ends) terminal.line(end);
    }
  });
}

function endOf({ node, model, fault }: ModelStep, done: string): string {
  const name = `${harmless(node)}  ${style('bold', harmless(model))}`;
  return fault ? `${name} ${style('red', 'failed')}: ${harmless(fault.message)} (${fault.reason})` : `${name} ${done}`;
}

function readable({ node, model, stage, fraction, fault }: ModelStep): object {
  return { node, model, stage, fraction, ...(fault ? { reason: fault.reason, message: fault.message } : {}) };
}
