/** infermesh classify */
import { once } from 'node:events';
import type { Command } from 'commander';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import { promptOf } from '../chat/prompt.ts';
import type { Scorer } from '../classify/scorer.ts';
import { lineOf, openScorer } from '../classify/scorer.ts';
import { shown, shownJson } from '../classify/shown.ts';
import { jsonLines } from '../lines.ts';
import { style } from '../output/terminal.ts';
import { UsageError } from '../usage.ts';

const EXAMPLES = `
Examples:
  infermesh classify "prove that there is no largest prime"
  infermesh classify --jsonl prompts.jsonl > scored.jsonl
  infermesh classify --jsonl --warm scored-prompts.jsonl - < prompts.jsonl
`;

/** Written together, in characters: one write for each line would cost more than classifying it. */
const BATCH = 65_536;

export function define(command: Command): void {
  command
    .argument('[prompt...]', 'what to classify; with --jsonl a file; - or a pipe reads stdin')
    .option('--jsonl', 'classify {"id", "prompt"} a line, and write {"id", "complexity", "rank", "q", "c"} a line')
    .option('--warm <FILE>', 'scored prompts to learn models from: {"prompt", "score", "cost"} a line')
    .addHelpText('after', EXAMPLES);
  action(command, classify);
}

/** Nothing is asked of a mesh: the weights come with the program. */
async function classify({ command, args, terminal, interrupts }: Context): Promise<void> {
  const { jsonl, warm } = command.opts<{ jsonl?: boolean; warm?: string }>();
  if (jsonl && args.length > 1) throw new UsageError(`--jsonl takes one file, received ${args.length}`);
  if (jsonl && args.length === 0 && process.stdin.isTTY) throw new UsageError('name a file for --jsonl, or pipe one in');
  const prompt = jsonl ? undefined : await promptOf(args);
  if (!jsonl && prompt === undefined) throw new UsageError('give the prompt to classify; see: infermesh classify --help');
  if (warm === '-' && jsonl && (args[0] ?? '-') === '-')
    throw new UsageError('--warm and the prompts cannot both come from stdin');
  const scorer = await openScorer(warm);
  for (const note of scorer.notes) terminal.note(style('yellow', note, process.stderr));
  if (prompt === undefined) return classifyLines(args[0] ?? '-', scorer, interrupts.signal);
  const scored = scorer.score(prompt);
  if (terminal.json) terminal.object(shownJson(scored));
  else terminal.line(shown(scored, scorer.learnt));
}

/** In the order of the input; no faster than whoever reads it. */
async function classifyLines(path: string, scorer: Scorer, signal: AbortSignal): Promise<void> {
  let batch = '';
  try {
    for await (const { place, value } of jsonLines(path)) {
      signal.throwIfAborted();
      batch += `${JSON.stringify(scoredLine(value, place, scorer))}\n`;
      if (batch.length >= BATCH) {
        await written(batch);
        batch = '';
      }
    }
  } finally {
    // What was classified before a wrong line is still said.
    await written(batch);
  }
}

function scoredLine({ id, prompt }: Readonly<Record<string, unknown>>, place: string, scorer: Scorer) {
  if (typeof id !== 'string' && typeof id !== 'number') throw new UsageError(`${place}: id must be a text or a number`);
  if (typeof prompt !== 'string') throw new UsageError(`${place}: prompt must be a text`);
  return lineOf(id, scorer.score(prompt));
}

async function written(text: string): Promise<void> {
  if (text !== '' && !process.stdout.write(text)) await once(process.stdout, 'drain');
}
