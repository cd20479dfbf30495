/** infermesh models: the catalogue, and what of it lies on this machine. */
import type { Command } from 'commander';
import type { ListedModel, ModelStore, PullProgress } from '../../nodes/index.ts';
import { openModelStore } from '../../nodes/index.ts';
import { toFault } from '../../proto/contract/faults.ts';
import type { Context, Work } from '../action.ts';
import { action } from '../action.ts';
import { isAside, modelFacts, modelObject, modelTable } from '../output/models.ts';
import { openProgress, pullSteps } from '../output/progress.ts';
import { style } from '../output/terminal.ts';
import { bytes } from '../output/units.ts';
import { UsageError } from '../usage.ts';
import { defineControl } from './model-control.ts';

const EXAMPLES = `
Examples:
  infermesh models                                the catalogue, and what of it is here
  infermesh models pull tinyllama-1.1b-chat       fetch it; interrupted, it goes on the next time
  infermesh models verify --all                   hash all weights again that are here
  infermesh models info mistral-7b-instruct --json
  infermesh models rm mistral-7b-instruct@1a2b3c4d   one version of it
  infermesh models load tinyllama-1.1b-chat       have a node of the mesh bring it into memory

Fetched models lie in your cache folder, or in the one that INFERMESH_MODELS names. INFERMESH_CATALOGUE names a catalogue of
your own, whose entries stand beside ours and over those of the same name.
`;

const NAME = ['<NAME>', 'as infermesh models lists it; NAME@DIGEST, with 8 or more digits, is one version'] as const;

export function define(command: Command): void {
  command.addHelpText('after', EXAMPLES).helpCommand(false);
  subcommand(command, 'list', 'list the catalogue, and what of it is here (the default)', list, { isDefault: true }).option(
    '--all',
    'other quantisations too, of which nothing is here',
  );
  subcommand(command, 'pull', 'fetch a model and check its digest', pull)
    .argument(...NAME)
    .option('--refresh', 'ask whether there is a newer one, where the catalogue gives no digest; what is here stays');
  subcommand(command, 'rm', 'remove what was fetched of a model, or one version', remove)
    .argument(...NAME)
    .option('--force', 'also where a process of this machine has it in memory');
  subcommand(command, 'verify', 'hash the weights of a model again', verify)
    .argument('[NAME]', NAME[1])
    .option('--all', 'all versions of all models that are here');
  subcommand(command, 'info', 'tell everything about a model', info).argument(...NAME);
  defineControl(command);
}

function subcommand(command: Command, name: string, summary: string, work: Work, options = {}): Command {
  const made = command
    .command(name, options)
    .summary(summary)
    .description(`${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`);
  action(made, work);
  return made;
}

async function list({ terminal, command }: Context): Promise<void> {
  const store = openModelStore();
  const models = await store.list();
  if (terminal.json) {
    terminal.object({ folder: store.root, defaults: store.catalogue.defaults, models: models.map(modelObject) });
    return;
  }
  const shown = command.opts().all === true ? models : models.filter((model) => !isAside(model));
  terminal.line(modelTable(shown));
  terminal.line();
  const aside = models.length - shown.length;
  if (aside > 0) terminal.line(style('dim', `  ${aside} more are other quantisations of these: infermesh models list --all`));
  terminal.line(style('dim', `  fetched models lie in ${store.root}; fetch one with: infermesh models pull NAME`));
}

async function pull(context: Context): Promise<void> {
  const { terminal } = context;
  const [name = ''] = context.args;
  const refresh = context.command.opts().refresh === true;
  const { path, digest, sizeBytes } = await watched(context, name, (given) => openModelStore().pull(name, { ...given, refresh }));
  if (terminal.json) terminal.object({ event: 'pulled', name, path, digest, sizeBytes });
  else terminal.line(`${style('bold', name)} is here: ${bytes(sizeBytes)} in ${path}`);
}

async function remove({ terminal, args, command }: Context): Promise<void> {
  const [name = ''] = args;
  await openModelStore().remove(name, { force: command.opts().force === true });
  if (terminal.json) terminal.object({ event: 'removed', name });
  else terminal.line(`${style('bold', name)} is removed`);
}

async function verify(context: Context): Promise<void> {
  const store = openModelStore();
  const [name] = context.args;
  const all = context.command.opts().all === true;
  if (all === (name !== undefined)) throw new UsageError('name a model, or give --all for all that are here');
  if (name !== undefined) return verifyOne(context, store, name);
  for (const each of (await store.list()).flatMap(namesHere)) {
    try {
      await verifyOne(context, store, each);
    } catch (thrown) {
      context.interrupts.signal.throwIfAborted();
      const { reason, message } = toFault(thrown);
      if (context.terminal.json) context.terminal.object({ event: 'damaged', name: each, reason, message });
      else context.terminal.line(`${style('bold', each)} is ${style('red', 'damaged')}: ${message}`);
      process.exitCode = 1;
    }
  }
}

async function verifyOne(context: Context, store: ModelStore, name: string): Promise<void> {
  const { terminal } = context;
  const { digest, path } = await watched(context, name, (given) => store.verify(name, given));
  if (terminal.json) terminal.object({ event: 'verified', name, digest, path });
  else terminal.line(`${style('bold', name)} is whole: ${digest}`);
}

/** What of a model can be hashed here. */
function namesHere({ entry, state, versions }: ListedModel): string[] {
  if (versions.length > 0) return versions.map(({ name }) => name);
  return state === 'present' ? [entry.name] : [];
}

/** Shows how far it is, and ends with Ctrl-C. */
async function watched<T>(
  { terminal, interrupts: { signal } }: Context,
  name: string,
  work: (given: { readonly signal: AbortSignal; readonly onProgress: (step: PullProgress) => void }) => Promise<T>,
): Promise<T> {
  const progress = openProgress(terminal);
  try {
    return await work({ signal, onProgress: (step) => progress.step(name, pullSteps(step)) });
  } finally {
    progress.end();
  }
}

async function info({ terminal, args }: Context): Promise<void> {
  const [name = ''] = args;
  const store = openModelStore();
  const model = (await store.list()).find(({ entry }) => entry.name === name.replace(/@.*$/, ''));
  // The store says which names there are.
  if (!model) await store.locate(name);
  else if (terminal.json) terminal.object(modelObject(model));
  else terminal.line(modelFacts(model));
}
