/** infermesh batch */
import { realpathSync } from 'node:fs';
import type { Command } from 'commander';
import { z } from 'zod';
import type { BatchItem, BatchOutcome, Mesh } from '../../client/index.ts';
import { Fault } from '../../client/index.ts';
import { integer, real, resolveSettings } from '../../proto/contract/settings.ts';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import { Counts } from '../batch/counts.ts';
import { outcomeLine } from '../batch/outcome-line.ts';
import type { Outcomes } from '../batch/outcomes.ts';
import { openOutcomes, STDOUT } from '../batch/outcomes.ts';
import type { Form } from '../batch/request-line.ts';
import { idOf, requestLine } from '../batch/request-line.ts';
import { CONNECTION_HELP, connectionSchema, withMesh } from '../connection.ts';
import type { FlagHelp } from '../flags.ts';
import { addFlags } from '../flags.ts';
import type { RawLine } from '../lines.ts';
import { rawLines } from '../lines.ts';
import { linesOf } from '../output/failure.ts';
import type { Progress } from '../output/progress.ts';
import { openProgress } from '../output/progress.ts';
import type { Terminal } from '../output/terminal.ts';
import { harmless, style } from '../output/terminal.ts';
import { sourcesOf } from '../settings.ts';
import { asUsage, UsageError } from '../usage.ts';

const EXAMPLES = `
Examples:
  infermesh batch questions.jsonl -o answers.jsonl      again after an interruption, it goes on where it was
  infermesh batch questions.jsonl --window 16 > answers.jsonl
  generate-questions | infermesh batch - -o answers.jsonl --model qwen2.5-0.5b-instruct

A line is a chat, {"id": "q1", "prompt": "..."} or {"id": "q1", "messages": [...], "model": "...", "max_tokens": 64}, or texts to
make vectors of, {"id": "t1", "text": "..."}, or a line of OpenAI's batch files, which is answered in that form.
`;

const schema = connectionSchema.extend({
  window: integer(1, 1024).optional(),
  model: z.string().optional(),
  deadline: real(0.001, 31_536_000).optional(),
});

const HELP: FlagHelp<typeof schema> = {
  ...CONNECTION_HELP,
  window: ['N', 'items at the same time, 1 to 1024; without it as many as the mesh has slots for'],
  model: ['NAME', 'who does all of it, whatever the lines say'],
  deadline: ['SECONDS', 'give up after that long; without it it takes as long as it takes'],
};

/** Of failures so many are told as they come; all are in the outcomes. */
const MOST_TOLD = 10;

export function define(command: Command): void {
  command
    .argument('<file>', 'a request on each line, as JSON; - reads stdin')
    .option('-o, --output <FILE>', 'where outcomes go, one a line; a run that finds answers there leaves those out');
  addFlags(command, schema, HELP).addHelpText('after', EXAMPLES);
  action(command, batch);
}

async function batch({ command, args, terminal, interrupts: { signal } }: Context): Promise<void> {
  const { window, model, deadline, ...settings } = asUsage(() => resolveSettings(schema, sourcesOf(command, ['client'])));
  const [path = '-'] = args;
  const { output } = command.opts<{ output?: string }>();
  if (output !== undefined && isSame(path, output))
    throw new UsageError('the outcomes cannot go into the file with the requests');
  const total = path === '-' ? undefined : await linesIn(path);
  const outcomes = output === undefined ? STDOUT : await openOutcomes(output);
  const run = new Run({ path, model, outcomes, counts: new Counts(total, () => performance.now()), terminal });
  const options = {
    signal,
    ...(window === undefined ? {} : { window }),
    ...(deadline === undefined ? {} : { deadlineMs: deadline * 1000 }),
  };
  let isWhole = false;
  try {
    await withMesh(settings, (mesh) => run.all(mesh, options));
    isWhole = true;
  } finally {
    await outcomes.close();
    run.end(output, isWhole);
  }
}

function isSame(one: string, other: string): boolean {
  try {
    return realpathSync(one) === realpathSync(other);
  } catch {
    return false;
  }
}

/** That are not blank. */
async function linesIn(path: string): Promise<number> {
  let count = 0;
  for await (const { length } of rawLines(path)) if (length > 0) count++;
  return count;
}

interface RunParts {
  readonly path: string;
  readonly model: string | undefined;
  readonly outcomes: Outcomes;
  readonly counts: Counts;
  readonly terminal: Terminal;
}

class Run {
  readonly #parts: RunParts;
  readonly #progress: Progress;
  readonly #ids = new Set<string>();
  /** Of what is at work: where it stands, and in what form. */
  readonly #lines = new Map<string, { readonly place: string; readonly form: Form }>();
  #told = 0;

  constructor(parts: RunParts) {
    this.#parts = parts;
    this.#progress = openProgress(parts.terminal);
  }

  async all(mesh: Mesh, options: NonNullable<Parameters<Mesh['batch']>[1]>): Promise<void> {
    this.#show();
    for await (const outcome of mesh.batch(this.#items(), options)) {
      const { place, form } = this.#lines.get(outcome.id) ?? { place: outcome.id, form: 'own' };
      this.#lines.delete(outcome.id);
      await this.#take(outcome, place, form);
    }
  }

  async *#items(): AsyncGenerator<BatchItem> {
    const { path, model, counts, outcomes } = this.#parts;
    for await (const line of rawLines(path)) {
      const { place, number } = line;
      let value: ReturnType<RawLine['read']>;
      try {
        value = line.read();
        if (!value) continue;
        const { item, form } = requestLine(value, number, model);
        if (this.#ids.has(item.id)) throw new UsageError('id must be once in the file, received it again');
        this.#ids.add(item.id);
        if (outcomes.answered.has(item.id)) {
          counts.skipped++;
          continue;
        }
        this.#lines.set(item.id, { place, form });
        yield item;
      } catch (thrown) {
        if (!(thrown instanceof UsageError)) throw thrown;
        const fault = new Fault('INVALID_REQUEST', thrown.message.replace(`${place} `, ''));
        // Under an id that another line has, its outcome would be taken for that one's.
        const named = idOf(value, number);
        const id = this.#ids.has(named) ? `line-${number}` : named;
        await this.#take({ type: 'failed', id, fault }, place, value && 'custom_id' in value ? 'openai' : 'own');
      }
    }
  }

  async #take(outcome: BatchOutcome, place: string, form: Form): Promise<void> {
    const { counts, outcomes } = this.#parts;
    counts.take(outcome);
    if (outcome.type === 'failed') this.#tell(outcome.fault, place);
    await outcomes.write(outcomeLine(outcome, form, Math.floor(Date.now() / 1000)));
    this.#show();
  }

  #tell(fault: Fault, place: string): void {
    if (++this.#told > MOST_TOLD) return;
    for (const text of linesOf(fault)) this.#progress.note(`${harmless(place)}: ${text}`);
    if (this.#told === MOST_TOLD) this.#progress.note('more failures are in the outcomes');
  }

  #show(): void {
    this.#progress.step('batch', this.#parts.counts.step());
  }

  /** Says how it went, and how to go on. @param isWhole nothing ended it early */
  end(output: string | undefined, isWhole: boolean): void {
    const { terminal, counts } = this.#parts;
    this.#progress.end();
    process.exitCode = counts.failed > 0 ? 1 : 0;
    if (terminal.json) {
      terminal.object({
        event: isWhole ? 'finished' : 'stopped',
        ...counts.object(),
        ...(output === undefined ? {} : { output }),
      });
      return;
    }
    terminal.note(`${isWhole ? '' : 'stopped early: '}${counts.summary()}`);
    if (output === undefined || (isWhole && counts.failed === 0)) return;
    const what = isWhole ? 'tries again what failed' : 'goes on with the rest';
    terminal.note(style('dim', `the same command ${what}; the outcomes are in ${harmless(output)}`, process.stderr));
  }
}
