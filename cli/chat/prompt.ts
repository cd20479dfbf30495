/** The prompt of a command: its arguments, or what is piped into it. */
import { UsageError } from '../usage.ts';

/** What a router takes at most; more need not even be read. */
const MAX_BYTES = 1_048_576;

/** @returns undefined where nobody gave one and a person sits at the terminal */
export async function promptOf(args: readonly string[]): Promise<string | undefined> {
  const given = args.join(' ');
  if (given !== '' && given !== '-') return given;
  if (given === '' && process.stdin.isTTY) return undefined;
  return readPrompt(process.stdin);
}

async function readPrompt(input: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of input) {
    size += chunk.length;
    if (size > MAX_BYTES) throw new UsageError(`the prompt on stdin must be at most ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  const text = decode(Buffer.concat(chunks)).trimEnd();
  if (text === '') throw new UsageError('the prompt on stdin is empty');
  return text;
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UsageError('the prompt on stdin must be UTF-8');
  }
}
