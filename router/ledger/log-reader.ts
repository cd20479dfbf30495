/** Reads decision logs back, line by line, plain or gzipped. A wrong line is skipped and told, never its content. */
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Fault } from '../../proto/contract/faults.ts';
import type { LogEntry } from './decision-entry.ts';
import { LOG_VERSION, parseLine } from './decision-entry.ts';

/** Longer ones are no entries; in characters. */
const MAX_LINE = 2 ** 20;
const MAX_TOLD = 5;

/** What could not be used, counted while reading. */
export class Skipped {
  lines = 0;
  /** The first few: "FILE line 3 is not JSON". */
  readonly told: string[] = [];

  add(text: string): void {
    this.lines++;
    if (this.told.length < MAX_TOLD) this.told.push(text);
  }
}

/** @throws Fault INVALID_REQUEST for a file that can't be read, or that another version wrote */
export async function* readEntries(paths: readonly string[], skipped: Skipped): AsyncGenerator<LogEntry> {
  for (const path of paths) {
    let number = 0;
    for await (const line of linesOf(path)) {
      number++;
      if (line === '') continue;
      const parsed = line.length > MAX_LINE ? ({ type: 'wrong', problem: 'is too long' } as const) : parseLine(line);
      if (parsed.type === 'entry') yield parsed.entry;
      else if (parsed.type === 'wrong') skipped.add(`${path} line ${number} ${parsed.problem}`);
      else {
        const version = parsed.version === undefined ? 'another version' : `version ${parsed.version}`;
        throw new Fault(
          'INVALID_REQUEST',
          `${path} line ${number} is of ${version} of the log; this infermesh reads version ${LOG_VERSION}`,
        );
      }
    }
  }
}

async function* linesOf(path: string): AsyncGenerator<string> {
  let rest = '';
  try {
    for await (const chunk of textOf(path)) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
      // Of a line that never ends, no more than shows that it is too long.
      if (rest.length > MAX_LINE) rest = rest.slice(0, MAX_LINE + 1);
    }
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault('INVALID_REQUEST', `cannot read ${path}: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}`);
  }
  yield rest;
}

function textOf(path: string): Readable {
  const file = createReadStream(path);
  if (!path.endsWith('.gz')) return file.setEncoding('utf8');
  // What goes wrong in either ends the reading; there is nothing to do besides.
  return pipeline(file, createGunzip(), () => {}).setEncoding('utf8') as Readable;
}
