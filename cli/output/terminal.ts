/** The two streams of a command: results on stdout, progress and remarks on stderr. */
import { styleText } from 'node:util';

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

export class Terminal {
  readonly json: boolean;

  constructor({ json }: { readonly json: boolean }) {
    this.json = json;
  }

  /** Whether a person reads results as they come. */
  get live(): boolean {
    return !this.json && Boolean(process.stdout.isTTY);
  }

  get columns(): number {
    return process.stdout.columns || 100;
  }

  /** A line of the result. */
  line(text = ''): void {
    process.stdout.write(`${text}\n`);
  }

  /** Part of a line of the result. */
  write(text: string): void {
    process.stdout.write(text);
  }

  /** One result, or one event of several, as a line of JSON. */
  object(value: unknown): void {
    process.stdout.write(`${JSON.stringify(value, withoutUnknown)}\n`);
  }

  /** A remark beside the result. */
  note(text = ''): void {
    process.stderr.write(`${text}\n`);
  }
}

/** Fields that only a newer router knows have no name here. */
function withoutUnknown(key: string, value: unknown): unknown {
  return key === '_unknownFields' ? undefined : value;
}

/** Coloured where a terminal reads it and NO_COLOR is not set. */
export function style(name: Style | readonly Style[], text: string, stream: NodeJS.WriteStream = process.stdout): string {
  return styleText(name as Style, text, { stream });
}

/**
 * Without what a terminal would take for a command: a model's answer, or a name from another machine, must not move
 * the cursor or set a title.
 */
export function harmless(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\u00b7');
}

/** Whoever read our output has gone, as `head` does: no reason to crash, and mostly one to end. Nor is a full disk. */
export function onReaderGone(then: () => void): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') then();
  });
  process.stderr.on('error', () => {});
}
