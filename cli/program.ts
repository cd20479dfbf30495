/** The command line as a whole. A command's module is loaded only when that command is called, so that each starts fast. */
import { Command, CommanderError } from 'commander';
import { VERSION } from '../proto/contract/version.ts';
import { failureOf, tellFailure } from './output/failure.ts';
import { Terminal } from './output/terminal.ts';
import { UsageError } from './usage.ts';

interface CommandModule {
  /** Adds the command's arguments, options, help and action. */
  define(command: Command): void;
}

interface Entry {
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
}

export const COMMANDS: Readonly<Record<string, Entry>> = {
  up: { summary: 'start a router and nodes on this machine', load: () => import('./commands/up.ts') },
  chat: { summary: 'ask the mesh and stream its answer', load: () => import('./commands/chat.ts') },
  batch: { summary: 'work off a file of prompts', load: () => import('./commands/batch.ts') },
  ps: { summary: 'show the nodes of the mesh', load: () => import('./commands/ps.ts') },
  explain: { summary: 'show which node would answer, and why', load: () => import('./commands/explain.ts') },
  stats: { summary: 'show which models answer what, and what it saves', load: () => import('./commands/stats.ts') },
  cache: { summary: 'show what is cached, and forget it', load: () => import('./commands/cache.ts') },
  embed: { summary: 'make vectors of texts, and compare them', load: () => import('./commands/embed.ts') },
  feedback: { summary: 'rate an answer, so that the mesh chooses better', load: () => import('./commands/feedback.ts') },
  replay: { summary: 'tell from a decision log what another policy would have cost', load: () => import('./commands/replay.ts') },
  classify: { summary: 'tell how hard prompts are, and who may answer them', load: () => import('./commands/classify.ts') },
  models: {
    summary: 'list, fetch, check and remove models; have nodes load and swap them',
    load: () => import('./commands/models.ts'),
  },
  router: { summary: 'run a router', load: () => import('./commands/router.ts') },
  node: { summary: 'run a node and join it to a router', load: () => import('./commands/node.ts') },
  drain: { summary: 'let a node finish what it has and leave', load: () => import('./commands/drain.ts') },
  certs: { summary: 'make certificates for development', load: () => import('./commands/certs.ts') },
  token: { summary: 'let a node join, or make an API key', load: () => import('./commands/token.ts') },
  doctor: {
    summary: 'show what this machine has, and what to do about what is missing',
    load: () => import('./commands/doctor.ts'),
  },
};

const EXAMPLES = `
Examples:
  infermesh up                                             a mesh on this machine
  infermesh chat "tell me a story about a small dragon"    ask it
  infermesh ps --watch                                     watch its nodes
  infermesh doctor                                         see what this machine can do

Every setting is read from its flag, else from INFERMESH_*, else from the file of --config, else it has a default.
`;

/** @param wanted names of the commands to define in full; the others get their summary only */
export async function buildProgram(wanted: readonly string[]): Promise<Command> {
  const program = new Command('infermesh')
    .description('An edge-style gRPC inference mesh: one address for streamed completions, many models and machines behind it.')
    .version(VERSION, '--version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .addHelpText('after', EXAMPLES)
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
    const command = program
      .command(name)
      .summary(summary)
      .description(capital(summary))
      .helpOption('-h, --help', 'show this help');
    if (wanted.includes(name)) (await load()).define(command);
  }
  return program;
}

/** Runs a command and ends the process. */
export async function run(args: readonly string[]): Promise<void> {
  const called = args.filter((arg) => Object.hasOwn(COMMANDS, arg)).slice(0, 1);
  try {
    const program = await buildProgram(called);
    if (args.length === 0) program.outputHelp();
    else await program.parseAsync(args, { from: 'user' });
  } catch (thrown) {
    process.exitCode = ended(thrown, args, called[0]);
  }
}

function ended(thrown: unknown, args: readonly string[], called: string | undefined): number {
  if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
  const failure = failureOf(thrown instanceof CommanderError ? asUsageError(thrown, called) : thrown);
  tellFailure(new Terminal({ json: args.includes('--json') }), failure);
  return failure.exitCode;
}

function asUsageError({ message }: CommanderError, called: string | undefined): UsageError {
  const what = message.replace(/^error: /, '').replaceAll('\n', ' ');
  return new UsageError(`${what}; see: infermesh ${called ? `${called} ` : ''}--help`);
}

function capital(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
