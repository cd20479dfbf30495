/** Splits what a server streams into lines of JSON, wherever its pieces break. Pure. */
import { Fault } from '../../../proto/contract/faults.ts';

/** In UTF-16 units; a token's line has some 150, the last one of an answer some 400. */
const LONGEST_LINE = 1_048_576;

export class JsonLines {
  // Bytes that are no UTF-8 become U+FFFD, as everywhere else.
  readonly #decoder = new TextDecoder();
  #rest = '';

  /**
   * Gives the objects of the lines that are complete now, one by one, so that those before a broken one are had.
   * @throws Fault ENGINE_FAILED for a line that is no JSON object, or too long
   */
  *push(bytes: Uint8Array): Generator<object> {
    this.#rest += this.#decoder.decode(bytes, { stream: true });
    const lines = this.#rest.split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) yield* objectOf(line);
    if (this.#rest.length > LONGEST_LINE) throw new Fault('ENGINE_FAILED', `Ollama sent a line over ${LONGEST_LINE} characters`);
  }

  /** What stands behind the last line break. */
  *end(): Generator<object> {
    const last = this.#rest + this.#decoder.decode();
    this.#rest = '';
    yield* objectOf(last);
  }
}

function objectOf(line: string): object[] {
  if (line.trim() === '') return [];
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return [value];
  } catch {
    // The parser's own message quotes the line, which may be an answer.
  }
  throw new Fault('ENGINE_FAILED', 'Ollama sent a line that is not a JSON object');
}
