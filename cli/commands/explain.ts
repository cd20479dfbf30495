/** infermesh explain */
import type { Command } from 'commander';
import type { Candidate, ExplainResponse } from '../../client/index.ts';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import { promptOf } from '../chat/prompt.ts';
import { addChatFlags, chatInput, chatSettings, deadlineMs } from '../chat/settings.ts';
import { withMesh } from '../connection.ts';
import { table } from '../output/table.ts';
import { harmless, style } from '../output/terminal.ts';
import { milliseconds } from '../output/units.ts';
import { UsageError } from '../usage.ts';

const EXAMPLES = `
Examples:
  infermesh explain "tell me a story about a small dragon"
  infermesh explain --tier quality --json "what is the capital of France?"
`;

export function define(command: Command): void {
  command.argument('[prompt...]', 'what would be asked; - or a pipe reads it from stdin');
  addChatFlags(command).addHelpText('after', EXAMPLES);
  action(command, explain);
}

/** Nothing is generated: the router tells what it would choose now. */
async function explain({ command, args, terminal, interrupts }: Context): Promise<void> {
  const settings = chatSettings(command);
  const text = await promptOf(args);
  if (text === undefined) throw new UsageError('give the prompt to explain; see: infermesh explain --help');
  const input = chatInput(settings, [{ role: 'user', text }]);
  const options = { signal: interrupts.signal, ...deadlineMs(settings) };
  const response = await withMesh(settings, (mesh) => mesh.explain(input, options));
  if (terminal.json) terminal.object(response);
  else terminal.line(shown(response));
}

function shown({ decision, candidates }: ExplainResponse): string {
  const chosen = candidates.find((candidate) => candidate.chosen);
  const head = chosen
    ? `${style('bold', harmless(chosen.model))} on ${style('bold', harmless(chosen.node))}`
    : style('yellow', 'nothing can answer this now');
  const lines = [head, harmless(decision?.reason ?? '')];
  return candidates.length > 0 ? [...lines, '', table(COLUMNS, candidates.map(row))].join('\n') : lines.join('\n');
}

const COLUMNS = [
  { title: ' ' },
  { title: 'NODE' },
  { title: 'MODEL' },
  { title: 'WAIT', align: 'right' },
  { title: 'FIRST TOKEN', align: 'right' },
  { title: 'WHOLE', align: 'right' },
  { title: 'WHY NOT' },
] as const;

function row(candidate: Candidate): string[] {
  const { node, model, exclusion, expectedWaitMs, expectedFirstTokenMs, expectedTotalMs } = candidate;
  const mark = candidate.chosen ? style('green', '✓') : exclusion ? style('red', '✗') : '·';
  const times = [expectedWaitMs, expectedFirstTokenMs, expectedTotalMs].map(milliseconds);
  return [mark, harmless(node), harmless(model), ...times, harmless(exclusion)];
}
