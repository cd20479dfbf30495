/** infermesh chat */
import type { Command } from 'commander';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import { streamAnswer } from '../chat/answer.ts';
import { converse } from '../chat/conversation.ts';
import { promptOf } from '../chat/prompt.ts';
import type { ChatSettings } from '../chat/settings.ts';
import { addChatFlags, chatInput, chatSettings, deadlineMs } from '../chat/settings.ts';
import { meshOf, withMesh } from '../connection.ts';
import { traced } from '../traced.ts';
import { UsageError } from '../usage.ts';

const EXAMPLES = `
Examples:
  infermesh chat "tell me a story about a small dragon"
  infermesh chat                                        a conversation; /exit ends it
  git diff | infermesh chat --system "Summarise this change."
  infermesh chat --json --seed 1 --temperature 0 "what is the capital of France?"
  infermesh chat --json-schema person.json "Ada Lovelace was born in 1815."
`;

export function define(command: Command): void {
  command.argument('[prompt...]', 'what to ask; - or a pipe reads it from stdin; without it a conversation begins');
  addChatFlags(command).addHelpText('after', EXAMPLES);
  action(command, chat);
}

async function chat(context: Context): Promise<void> {
  const settings = chatSettings(context.command);
  const prompt = await promptOf(context.args);
  await traced('infermesh-cli', () => (prompt === undefined ? talk(context, settings) : ask(context, settings, prompt)));
}

async function ask({ terminal, interrupts }: Context, settings: ChatSettings, prompt: string): Promise<void> {
  const input = chatInput(settings, [{ role: 'user', text: prompt }]);
  const options = { signal: interrupts.signal, ...deadlineMs(settings) };
  await withMesh(settings, (mesh) => streamAnswer({ mesh, terminal }, input, options));
}

async function talk({ terminal, interrupts }: Context, settings: ChatSettings): Promise<void> {
  if (terminal.json) throw new UsageError('a conversation has no JSON: give the prompt as an argument or on stdin');
  using mesh = meshOf(settings);
  await converse({ mesh, terminal, settings, signal: interrupts.signal });
}
