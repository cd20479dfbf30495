/** Lines of JSON, one at a time, however long the file: what is wrong is told by its line, and never quoted. */
import { createReadStream } from 'node:fs';
import { UsageError } from '../usage.ts';

/** Of one line, in bytes: more than any prompt that a router takes, in JSON's longest spelling. */
export const MAX_LINE = 8 * 2 ** 20;
const NEWLINE = 0x0a;

export interface Line {
  /** "line 3 of FILE" */
  readonly place: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** @param path a file, or - for stdin @throws UsageError for what can't be read, or is not an object of JSON */
export async function* jsonLines(path: string): AsyncGenerator<Line> {
  const name = path === '-' ? 'stdin' : path;
  let number = 0;
  for await (const bytes of split(path === '-' ? process.stdin : createReadStream(path), name, () => number + 1)) {
    number++;
    const place = `line ${number} of ${name}`;
    const text = decoded(bytes, place).trim();
    if (text !== '') yield { place, value: parsed(text, place) };
  }
}

async function* split(input: AsyncIterable<Buffer>, name: string, numberOf: () => number): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of input) {
      let from = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
        yield Buffer.concat([...parts, chunk.subarray(from, end)]);
        parts = [];
        size = 0;
        from = end + 1;
      }
      parts.push(chunk.subarray(from));
      size += chunk.length - from;
      if (size > MAX_LINE) throw new UsageError(`line ${numberOf()} of ${name} must be at most ${MAX_LINE} bytes`);
    }
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`cannot read ${name}: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}`);
  }
  if (size > 0) yield Buffer.concat(parts);
}

function decoded(bytes: Buffer, place: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UsageError(`${place} must be UTF-8`);
  }
}

/** The parser's own message would quote what stands there. */
function parsed(text: string, place: string): Line['value'] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new UsageError(`${place} must be JSON, received ${text.length} characters that are not`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new UsageError(`${place} must be a JSON object`);
  return value as Line['value'];
}
