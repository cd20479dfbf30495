/** infermesh models */
import type { Command } from 'commander';
import type { ListedModel, ModelStore } from '../../nodes/index.ts';
import { openModelStore } from '../../nodes/index.ts';
import type { Context, Work } from '../action.ts';
import { action } from '../action.ts';
import { tierName } from '../output/names.ts';
import { openProgress, pullSteps } from '../output/progress.ts';
import { table } from '../output/table.ts';
import { style } from '../output/terminal.ts';
import { bytes } from '../output/units.ts';
import { defineControl } from './model-control.ts';

const EXAMPLES = `
Examples:
  infermesh models                                the catalogue, and what of it is here
  infermesh models pull tinyllama-1.1b-chat       fetch it; interrupted, it goes on the next time
  infermesh models verify tinyllama-1.1b-chat     hash the weights again
  infermesh models info mistral-7b-instruct --json
  infermesh models load tinyllama-1.1b-chat       have a node of the mesh bring it into memory

Fetched models lie in your cache folder, or in the one that INFERMESH_MODELS names.
`;

export function define(command: Command): void {
  command.addHelpText('after', EXAMPLES).helpCommand(false);
  subcommand(command, 'list', 'list the catalogue, and what of it is here (the default)', list, { isDefault: true });
  named(command, 'pull', 'fetch a model and check its digest', pull);
  named(command, 'rm', 'remove what was fetched of a model', remove);
  named(command, 'verify', 'hash the weights of a model again', verify);
  named(command, 'info', 'tell everything about a model', info);
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

function named(command: Command, name: string, summary: string, work: (context: Context, model: string) => Promise<void>): void {
  subcommand(command, name, summary, (context) => work(context, context.args[0] as string)).argument(
    '<NAME>',
    'as infermesh models lists it',
  );
}

async function list({ terminal }: Context): Promise<void> {
  const store = openModelStore();
  const models = await store.list();
  if (terminal.json) {
    terminal.object({ folder: store.root, defaults: store.catalogue.defaults, models: models.map(readable) });
    return;
  }
  terminal.line(table(COLUMNS, models.map(row)));
  terminal.line();
  terminal.line(style('dim', `  fetched models lie in ${store.root}; fetch one with: infermesh models pull NAME`));
}

async function pull({ terminal, interrupts: { signal } }: Context, name: string): Promise<void> {
  const progress = openProgress(terminal);
  try {
    const onProgress = (step: Parameters<typeof pullSteps>[0]) => progress.step(name, pullSteps(step));
    const { path, digest, sizeBytes } = await openModelStore().pull(name, { signal, onProgress });
    progress.end();
    if (terminal.json) terminal.object({ event: 'pulled', name, path, digest, sizeBytes });
    else terminal.line(`${style('bold', name)} is here: ${bytes(sizeBytes)} in ${path}`);
  } finally {
    progress.end();
  }
}

async function remove({ terminal }: Context, name: string): Promise<void> {
  await openModelStore().remove(name);
  if (terminal.json) terminal.object({ event: 'removed', name });
  else terminal.line(`${style('bold', name)} is removed`);
}

async function verify({ terminal, interrupts: { signal } }: Context, name: string): Promise<void> {
  const progress = openProgress(terminal);
  try {
    const onProgress = (step: Parameters<typeof pullSteps>[0]) => progress.step(name, pullSteps(step));
    const { digest, path } = await openModelStore().verify(name, { signal, onProgress });
    progress.end();
    if (terminal.json) terminal.object({ event: 'verified', name, digest, path });
    else terminal.line(`${style('bold', name)} is whole: ${digest}`);
  } finally {
    progress.end();
  }
}

async function info({ terminal }: Context, name: string): Promise<void> {
  const store = openModelStore();
  const model = await find(store, name);
  if (terminal.json) {
    terminal.object(readable(model));
    return;
  }
  for (const [label, value] of facts(model)) terminal.line(`  ${style('dim', label.padEnd(10))} ${value}`);
}

async function find(store: ModelStore, name: string): Promise<ListedModel> {
  const model = (await store.list()).find(({ entry }) => entry.name === name);
  // The store says which names there are.
  if (!model) await store.locate(name);
  return model as ListedModel;
}

const COLUMNS = [
  { title: ' ' },
  { title: 'MODEL' },
  { title: 'TIER' },
  { title: 'SIZE', align: 'right' },
  { title: 'MEMORY', align: 'right' },
  { title: 'CONTEXT', align: 'right' },
  { title: 'FOR' },
  { title: 'LICENCE' },
  { title: 'HERE' },
] as const;

function row({ entry, state, bytes: here }: ListedModel): string[] {
  const { name, tier, size_bytes, memory_bytes, context_length, tasks, licence } = entry;
  const marks = { present: style('green', '●'), partial: style('yellow', '◐'), absent: style('dim', '○') };
  const where = { present: 'yes', partial: `${bytes(here)} of it`, absent: 'no' };
  return [
    marks[state],
    name,
    tierName(tier),
    bytes(size_bytes ?? 0),
    bytes(memory_bytes),
    String(context_length),
    tasks.join(', ') || 'anything',
    licence.replace('LicenseRef-', ''),
    where[state],
  ];
}

function facts({ entry, sources, state, bytes: here }: ListedModel): [label: string, value: string][] {
  const { title, family, quantization, tier, licence, commercial_use, context_length, tasks, size_bytes, memory_bytes } = entry;
  return [
    ['name', style('bold', entry.name)],
    ['title', title],
    ['family', `${family}, ${quantization}`],
    ['tier', tierName(tier)],
    ['for', tasks.join(', ') || 'anything'],
    ['context', `${context_length} tokens`],
    ['licence', `${licence}${commercial_use ? '' : ', not for commercial use'}`],
    ['size', bytes(size_bytes ?? 0)],
    ['memory', bytes(memory_bytes)],
    ['source', sources.join(' ')],
    ['sha256', entry.sha256 ?? 'checked against the first fetch'],
    ['here', state === 'present' ? 'yes' : state === 'partial' ? `${bytes(here)} of it` : 'no'],
  ];
}

function readable({ entry, sources, state, bytes: here }: ListedModel): object {
  return { ...entry, tier: tierName(entry.tier), source: sources.join(' '), state, bytes: here };
}
