/** What every command has around it: --json and --config, an orderly end, and its failure told once. */
import type { Command } from 'commander';
import { INTERRUPTED, Interrupts } from './interrupts.ts';
import { failureOf, linesOf, tellFailure } from './output/failure.ts';
import { onReaderGone, Terminal } from './output/terminal.ts';
import { tellParent } from './up/messages.ts';

export interface Context {
  /** The command that runs, for its flags. */
  readonly command: Command;
  /** Arguments that are not flags. */
  readonly args: readonly string[];
  readonly terminal: Terminal;
  readonly interrupts: Interrupts;
}

export function addCommonFlags(command: Command): Command {
  return command
    .option('--config <FILE>', 'YAML file with the sections router, node, up, client and chat [env: INFERMESH_CONFIG]')
    .option('--json', 'print one JSON object, or one a line for each event');
}

/** One that ran and found something wrong sets process.exitCode; one that could not run throws. */
export type Work = (context: Context) => Promise<void>;

export interface ActionOptions {
  /** A server goes on when nobody reads its output any more; other commands end. */
  readonly server?: boolean;
}

/** Ends the process when the work has ended. */
export function action(command: Command, work: Work, { server = false }: ActionOptions = {}): void {
  addCommonFlags(command);
  command.action(async () => {
    const interrupts = new Interrupts();
    const terminal = new Terminal({ json: command.opts().json === true });
    onReaderGone(() => {
      if (!server) process.exit(0);
    });
    try {
      await work({ command, args: command.args, terminal, interrupts });
    } catch (thrown) {
      process.exitCode = interrupts.signal.aborted ? INTERRUPTED : await fail(terminal, thrown);
    }
    // Connections that are being given up must not hold the process.
    process.exit();
  });
}

async function fail(terminal: Terminal, thrown: unknown): Promise<number> {
  const failure = failureOf(thrown);
  tellFailure(terminal, failure);
  await tellParent({ type: 'failed', reason: failure.reason, message: linesOf(failure).join('; ') });
  return failure.exitCode;
}
