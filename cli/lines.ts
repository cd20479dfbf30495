/** Lines of JSON, one at a time, however long the file: what is wrong is told by its line, and never quoted. */
import { createReadStream } from 'node:fs';
import { UsageError } from './usage.ts';

/** Of one line, in bytes: more than any prompt that a router takes, in JSON's longest spelling. */
export const MAX_LINE = 8 * 2 ** 20;
const NEWLINE = 0x0a;

type Value = Readonly<Record<string, unknown>>;

export interface Line {
  /** "line 3 of FILE" */
  readonly place: string;
  readonly value: Value;
}

/** A line as it was found; whether it is JSON shows when it is read. */
export interface RawLine {
  readonly place: string;
  /** From 1. */
  readonly number: number;
  /** In bytes, without its line feed. */
  readonly length: number;
  /** In the file, behind it and its line feed. */
  readonly end: number;
  /** Without a line feed only the last one can be. */
  readonly isWhole: boolean;
  /** Undefined where it is blank. @throws UsageError for what is too long, or is not an object of JSON */
  read(): Value | undefined;
  /** Whether it and the ASCII text are the same as far as both go. */
  begins(text: string): boolean;
}

/** @param path a file, or - for stdin @throws UsageError for what can't be read, or is not an object of JSON */
export async function* jsonLines(path: string): AsyncGenerator<Line> {
  for await (const { place, read } of rawLines(path)) {
    const value = read();
    if (value) yield { place, value };
  }
}

/**
 * @param path a file, or - for stdin
 * @param most bytes of a line that can be read
 * @throws UsageError for what can't be read
 */
export async function* rawLines(path: string, most = MAX_LINE): AsyncGenerator<RawLine> {
  const name = path === '-' ? 'stdin' : path;
  let number = 0;
  let end = 0;
  for await (const { bytes, length, isWhole } of split(path === '-' ? process.stdin : createReadStream(path), name, most)) {
    end += length;
    const place = `line ${++number} of ${name}`;
    const read = () => {
      if (!bytes) throw new UsageError(`${place} must be at most ${most} bytes`);
      const text = decoded(bytes, place).trim();
      return text === '' ? undefined : parsed(text, place);
    };
    const begins = (text: string) => bytes?.toString('latin1', 0, text.length) === text.slice(0, bytes?.length);
    yield { place, number, length: length - Number(isWhole), end, isWhole, read, begins };
  }
}

interface Piece {
  /** Without its line feed; undefined where it is too long. */
  readonly bytes: Buffer | undefined;
  /** With it. */
  readonly length: number;
  readonly isWhole: boolean;
}

async function* split(input: AsyncIterable<Buffer>, name: string, most: number): AsyncGenerator<Piece> {
  let parts: Buffer[] = [];
  let size = 0;
  const taken = (last: Buffer, isWhole: boolean): Piece => {
    size += last.length;
    const bytes = size > most ? undefined : Buffer.concat([...parts, last]);
    const piece = { bytes, length: size + Number(isWhole), isWhole };
    parts = [];
    size = 0;
    return piece;
  };
  try {
    for await (const chunk of input) {
      let from = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
        yield taken(chunk.subarray(from, end), true);
        from = end + 1;
      }
      size += chunk.length - from;
      // Of what is too long only the length is still of interest.
      if (size > most) parts = [];
      else if (from < chunk.length) parts.push(chunk.subarray(from));
    }
  } catch (error) {
    throw new UsageError(`cannot read ${name}: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}`);
  }
  if (size > 0) yield taken(Buffer.alloc(0), false);
}

function decoded(bytes: Buffer, place: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UsageError(`${place} must be UTF-8`);
  }
}

/** The parser's own message would quote what stands there. */
function parsed(text: string, place: string): Value {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new UsageError(`${place} must be JSON, received ${text.length} characters that are not`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new UsageError(`${place} must be a JSON object`);
  return value as Value;
}
