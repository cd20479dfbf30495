/** infermesh explain */
import type { Command } from 'commander';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import { promptOf } from '../chat/prompt.ts';
import { addChatFlags, chatInput, chatSettings, deadlineMs } from '../chat/settings.ts';
import { withMesh } from '../connection.ts';
import { explained, readableDecision } from '../output/decision.ts';
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
  if (!terminal.json) return terminal.line(explained(response));
  const { decision, candidates } = response;
  terminal.object({ decision: decision && readableDecision(decision), candidates });
}
