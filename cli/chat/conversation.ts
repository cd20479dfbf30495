/** A conversation at the terminal, turn by turn. */
import type { Interface } from 'node:readline/promises';
import { createInterface } from 'node:readline/promises';
import type { ChatMessage, Mesh } from '../../client/index.ts';
import { withAddress } from '../connection.ts';
import { failureOf, tellFailure } from '../output/failure.ts';
import type { Terminal } from '../output/terminal.ts';
import { style } from '../output/terminal.ts';
import { streamAnswer } from './answer.ts';
import type { ChatSettings } from './settings.ts';
import { chatInput, deadlineMs } from './settings.ts';

export interface ConversationParts {
  readonly mesh: Mesh;
  readonly terminal: Terminal;
  readonly settings: ChatSettings;
  /** Ends the conversation. */
  readonly signal: AbortSignal;
}

/** Until /exit, Ctrl-D, or Ctrl-C while nothing is being answered. */
export async function converse(parts: ConversationParts): Promise<void> {
  const { terminal, settings, signal } = parts;
  terminal.note(
    style(
      'dim',
      `${settings.router.join(', ')}  ·  /new begins anew, /exit or Ctrl-D leaves, Ctrl-C stops an answer`,
      process.stderr,
    ),
  );
  const lines = createInterface({ input: process.stdin, output: process.stderr, historySize: 200 });
  let said: ChatMessage[] = [];
  try {
    while (!signal.aborted) {
      const text = await nextTurn(lines, signal);
      if (text === undefined || text === '/exit') return;
      if (text === '/new') said = [];
      else if (text !== '') said = await answer(parts, lines, [...said, { role: 'user', text }]);
    }
  } finally {
    lines.close();
  }
}

/** @returns undefined when the conversation is over */
async function nextTurn(lines: Interface, signal: AbortSignal): Promise<string | undefined> {
  const over = new AbortController();
  const end = () => over.abort();
  lines.once('SIGINT', end);
  lines.once('close', end);
  signal.addEventListener('abort', end, { once: true });
  try {
    return (await lines.question(style(['bold', 'cyan'], '› ', process.stderr), { signal: over.signal })).trim();
  } catch {
    process.stderr.write('\n');
    return undefined;
  } finally {
    lines.off('SIGINT', end);
    lines.off('close', end);
    signal.removeEventListener('abort', end);
  }
}

/** @returns the conversation with the answer, or without the question where nothing came */
async function answer(
  { mesh, terminal, settings, signal }: ConversationParts,
  lines: Interface,
  said: readonly ChatMessage[],
): Promise<ChatMessage[]> {
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  lines.once('SIGINT', interrupt);
  let text = '';
  try {
    const options = { signal: AbortSignal.any([signal, stop.signal]), ...deadlineMs(settings) };
    await streamAnswer({ mesh, terminal }, chatInput(settings, said), options, (piece) => {
      text += piece;
    });
  } catch (thrown) {
    if (stop.signal.aborted) terminal.note(style('dim', 'stopped', process.stderr));
    else tellFailure(terminal, failureOf(withAddress(thrown, settings.router)));
  } finally {
    lines.off('SIGINT', interrupt);
  }
  return text === '' ? said.slice(0, -1) : [...said, { role: 'assistant', text }];
}
