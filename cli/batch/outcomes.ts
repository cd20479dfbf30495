/**
 * Where the outcomes of a batch go: a file that grows by a line for each, or stdout.
 *
 * A run that was interrupted goes on with the same file. What it wrote counts; the last line, where the process died over
 * it, is cut off; and the lines of what failed are taken out, since those items are tried again.
 */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, realpath, rename, rm, stat, truncate } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import type { RawLine } from '../lines.ts';
import { rawLines } from '../lines.ts';
import { UsageError } from '../usage.ts';
import { readOutcome } from './outcome-line.ts';

/** What a crash of the machine may cost is at most this much of work. */
const SYNC_EACH_MS = 1000;
/** Of one line: more than 4 MiB of an answer or of vectors in JSON's longest spelling. */
const MOST_BYTES = 32 * 2 ** 20;
/** How each line begins, in both forms. */
const BEGINNING = '{"id":"';

export interface Outcomes {
  /** Ids of what was answered by a run before. */
  readonly answered: ReadonlySet<string>;
  write(line: object): Promise<void>;
  close(): Promise<void>;
}

export const STDOUT: Outcomes = {
  answered: new Set(),
  async write(line) {
    if (!process.stdout.write(`${JSON.stringify(line)}\n`)) await once(process.stdout, 'drain');
  },
  async close() {},
};

/** @throws UsageError for a file that can't be used, or holds something else */
export async function openOutcomes(path: string): Promise<Outcomes> {
  const before = await read(path);
  if (before.failures) await withoutFailures(path);
  else if (before.torn) await asUsage(path, truncate(path, before.end));
  return new OutcomesFile(path, await asUsage(path, open(path, 'a')), before.answered);
}

class OutcomesFile implements Outcomes {
  readonly answered: ReadonlySet<string>;
  readonly #path: string;
  readonly #file: FileHandle;
  #syncedAt = performance.now();
  /** Lines come from two sides, and a long one is written in several pieces. Behind what could not be written comes nothing. */
  #lines: Promise<void> = Promise.resolve();

  constructor(path: string, file: FileHandle, answered: ReadonlySet<string>) {
    this.#path = path;
    this.#file = file;
    this.answered = answered;
  }

  write(line: object): Promise<void> {
    this.#lines = this.#lines.then(() => this.#append(`${JSON.stringify(line)}\n`));
    return this.#lines;
  }

  async #append(line: string): Promise<void> {
    await asUsage(this.#path, this.#file.appendFile(line));
    if (performance.now() - this.#syncedAt < SYNC_EACH_MS) return;
    await asUsage(this.#path, this.#file.datasync());
    this.#syncedAt = performance.now();
  }

  async close(): Promise<void> {
    try {
      await asUsage(this.#path, this.#file.datasync());
    } finally {
      await this.#file.close();
    }
  }
}

interface Before {
  readonly answered: ReadonlySet<string>;
  readonly failures: boolean;
  /** The last line has no end. */
  readonly torn: boolean;
  /** Behind the last whole line. */
  readonly end: number;
}

async function read(path: string): Promise<Before> {
  const answered = new Set<string>();
  let failures = false;
  let end = 0;
  if ((await sizeOf(path)) === 0) return { answered, failures, torn: false, end };
  for await (const line of rawLines(path, MOST_BYTES)) {
    if (!line.isWhole) {
      if (end === 0) checkTorn(line);
      return { answered, failures, torn: true, end };
    }
    end = line.end;
    const outcome = outcomeIn(line);
    if (outcome?.isAnswer) answered.add(outcome.id);
    else if (outcome) failures = true;
  }
  return { answered, failures, torn: false, end };
}

/** Undefined for a blank line. */
function outcomeIn({ read, place }: RawLine) {
  const value = read();
  const outcome = value && readOutcome(value);
  if (value && !outcome) throw foreign(place);
  return outcome;
}

/** Of a file that holds nothing else it is not certain whose it is. @throws UsageError */
function checkTorn({ read, begins, place }: RawLine): void {
  let value: ReturnType<RawLine['read']>;
  try {
    value = read();
  } catch {
    // Cut off in its middle.
  }
  if (value ? !readOutcome(value) : !begins(BEGINNING)) throw foreign(place);
}

const foreign = (place: string) => new UsageError(`${place} holds no outcome of a batch; name another file for them`);

async function withoutFailures(named: string): Promise<void> {
  const path = await realpath(named);
  const kept = `${path}.part`;
  try {
    await asUsage(kept, pipeline(answersIn(path), createWriteStream(kept, { flush: true })));
    await asUsage(path, rename(kept, path));
  } catch (thrown) {
    await rm(kept, { force: true }).catch(() => {});
    throw thrown;
  }
}

async function* answersIn(path: string): AsyncGenerator<string> {
  for await (const line of rawLines(path, MOST_BYTES)) {
    if (line.isWhole && outcomeIn(line)?.isAnswer) yield `${JSON.stringify(line.read())}\n`;
  }
}

async function sizeOf(path: string): Promise<number> {
  const { size } = await asUsage(
    path,
    stat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return { size: 0 };
      throw error;
    }),
  );
  return size;
}

/** What the system refuses, told with the file. */
async function asUsage<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (thrown) {
    if (thrown instanceof UsageError) throw thrown;
    throw new UsageError(`cannot use ${path} for the outcomes: ${(thrown as NodeJS.ErrnoException).code ?? 'unknown'}`);
  }
}
