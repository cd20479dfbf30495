/** infermesh replay */
import type { Command } from 'commander';
import { Replay, readEntries, readPolicies, Skipped } from '../../router/index.ts';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import { harmless, style } from '../output/terminal.ts';
import { shownReport } from '../replay/shown.ts';
import { asUsage, UsageError, usageOf } from '../usage.ts';

const EXAMPLES = `
Examples:
  infermesh replay decisions/*.jsonl --policy cheaper.yaml
  infermesh replay decisions/decisions-2026-11-2*.jsonl.gz --policy cheaper.yaml --tenant batch-jobs
  infermesh replay decisions/*.jsonl --policy cheaper.yaml --json
`;

export function define(command: Command): void {
  command
    .argument('<LOG...>', 'files of a decision log, plain or .gz')
    .requiredOption('--policy <FILE>', 'policy file to try on them')
    .option('--tenant <NAME>', 'only the decisions of this tenant')
    .addHelpText('after', EXAMPLES);
  action(command, replay);
}

/** Nothing is asked of a mesh: all that is needed stands in the log. */
async function replay({ command, args, terminal, interrupts }: Context): Promise<void> {
  const { policy, tenant } = command.opts<{ policy: string; tenant?: string }>();
  const replay = new Replay(
    asUsage(() => readPolicies(policy)),
    { tenant },
  );
  const skipped = new Skipped();
  try {
    for await (const entry of readEntries(args, skipped)) {
      interrupts.signal.throwIfAborted();
      replay.add(entry);
    }
  } catch (thrown) {
    throw usageOf(thrown);
  }
  const report = replay.report();
  if (!report) throw new UsageError(`there is no decision${tenant === undefined ? '' : ` of ${tenant}`} in the log`);
  if (terminal.json) terminal.object({ ...report, skipped: { lines: skipped.lines, first: skipped.told } });
  else terminal.line(shownReport(report));
  if (skipped.lines > 0 && !terminal.json) terminal.note(style('yellow', skippedNote(skipped), process.stderr));
}

function skippedNote({ lines, told }: Skipped): string {
  const more = lines > told.length ? ['and so on'] : [];
  return [`${lines} lines were skipped:`, ...told.map(harmless), ...more].join('\n  ');
}
