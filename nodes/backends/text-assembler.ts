/**
 * Turns an engine's tokens into pieces that may be sent: whole code points only, and nothing that belongs to a stop
 * string or may turn out to. Pure; the engine's detokenizer comes in as a function.
 *
 * A piece never splits a token, so `seq` and `tokens` always tell which tokens a text stands for. The one exception is
 * the last piece before a stop string: it carries the token in which the stop string begins with that token's text cut.
 */

/** Tokens `seq` to `seq + tokens - 1` of the answer, as text. */
export interface Piece {
  readonly seq: number;
  readonly tokens: number;
  readonly text: string;
}

/** Text of `tokens`, given the tokens of the answer that stand before them. Bytes that are no character become U+FFFD. */
export type Detokenize = (tokens: readonly number[], before: readonly number[]) => string;

/** An incomplete character has at most three bytes: a longer run of U+FFFD is broken, and nothing will complete it. */
const BROKEN = '\uFFFD'.repeat(4);
/** Tokens may straddle characters one after the other, but no tokenizer does so for long. */
const MAX_TOKENS_HELD = 32;
/** What a detokenizer needs to see to place spaces as the tokenizer meant them. */
const CONTEXT_TOKENS = 4;
const REPLACEMENT = '\uFFFD';

/** Holds tokens back until they end with a whole character. */
export class CharacterAssembler {
  readonly #detokenize: Detokenize;
  #pending: number[] = [];
  #before: number[] = [];

  constructor(detokenize: Detokenize) {
    this.#detokenize = detokenize;
  }

  /** @returns the text of all tokens since the last text, or undefined while a character is incomplete. */
  push(token: number): string | undefined {
    this.#pending.push(token);
    const text = this.#detokenize(this.#pending, this.#before);
    const incomplete = text.endsWith(REPLACEMENT) && !text.endsWith(BROKEN);
    if (incomplete && this.#pending.length < MAX_TOKENS_HELD) return undefined;
    this.#settle();
    return text;
  }

  /** What is left when no token follows: incomplete characters become U+FFFD. */
  flush(): string {
    const text = this.#detokenize(this.#pending, this.#before);
    this.#settle();
    return text;
  }

  #settle(): void {
    this.#before = [...this.#before, ...this.#pending].slice(-CONTEXT_TOKENS);
    this.#pending = [];
  }
}

interface Unit {
  readonly tokens: number;
  readonly text: string;
}

/**
 * Holds text back while it may be the beginning of a stop string. The stop string that is complete first ends the
 * answer; of those complete at the same character, the one that began first.
 */
export class StopFilter {
  readonly #stops: readonly string[];
  readonly #longest: number;
  #held: Unit[] = [];
  #text = '';
  #seq = 0;
  #matched: number | undefined;

  /** @param stops non-empty strings */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
    this.#longest = Math.max(0, ...stops.map((stop) => stop.length));
  }

  /** Index of the stop string that ended the answer; undefined while none did. */
  get matched(): number | undefined {
    return this.#matched;
  }

  /** @returns what may be sent now; undefined when everything is held. */
  push(text: string, tokens: number): Piece | undefined {
    if (this.#stops.length === 0 && this.#held.length === 0 && text !== '') return this.#piece(tokens, text);
    const scanned = this.#text.length;
    this.#held.push({ tokens, text });
    this.#text += text;
    const start = this.#find(scanned);
    if (start !== undefined) return this.#cut(start);
    return this.#release(this.#text.length - this.#possibleBeginning());
  }

  /** Everything still held; the answer ended by itself. */
  flush(): Piece | undefined {
    return this.#release(this.#text.length);
  }

  /** Where the stop string begins that is complete first after `scanned` characters. */
  #find(scanned: number): number | undefined {
    for (let end = scanned + 1; end <= this.#text.length; end++) {
      let best: number | undefined;
      for (const [index, stop] of this.#stops.entries()) {
        const start = end - stop.length;
        if (start < 0 || (best !== undefined && start >= best) || !this.#text.startsWith(stop, start)) continue;
        best = start;
        this.#matched = index;
      }
      if (best !== undefined) return best;
    }
    return undefined;
  }

  /** Length of the longest end of the held text with which some stop string begins. */
  #possibleBeginning(): number {
    for (let length = Math.min(this.#longest - 1, this.#text.length); length > 0; length--) {
      const end = this.#text.slice(-length);
      if (this.#stops.some((stop) => stop.length > length && stop.startsWith(end))) return length;
    }
    return 0;
  }

  /** Releases the units that end within the first `safe` characters. */
  #release(safe: number): Piece | undefined {
    let chars = 0;
    let tokens = 0;
    let units = 0;
    for (const unit of this.#held) {
      if (chars + unit.text.length > safe) break;
      chars += unit.text.length;
      tokens += unit.tokens;
      units++;
    }
    if (chars === 0) return undefined;
    const text = this.#text.slice(0, chars);
    this.#held.splice(0, units);
    this.#text = this.#text.slice(chars);
    return this.#piece(tokens, text);
  }

  /** The text before a stop string, with the tokens that it comes from. */
  #cut(start: number): Piece | undefined {
    const text = this.#text.slice(0, start);
    let tokens = 0;
    let chars = 0;
    for (const unit of this.#held) {
      if (chars >= start) break;
      chars += unit.text.length;
      tokens += unit.tokens;
    }
    this.#held = [];
    this.#text = '';
    return text === '' ? undefined : this.#piece(tokens, text);
  }

  #piece(tokens: number, text: string): Piece {
    const seq = this.#seq;
    this.#seq += tokens;
    return { seq, tokens, text };
  }
}

/** Both together: tokens in, pieces out. */
export class TextAssembler {
  readonly #characters: CharacterAssembler;
  readonly #filter: StopFilter;
  #unsettled = 0;

  constructor(detokenize: Detokenize, stops: readonly string[]) {
    this.#characters = new CharacterAssembler(detokenize);
    this.#filter = new StopFilter(stops);
  }

  /** Index of the stop string that ended the answer; undefined while none did. */
  get matched(): number | undefined {
    return this.#filter.matched;
  }

  /** @returns what may be sent now; undefined when everything is held. */
  push(token: number): Piece | undefined {
    this.#unsettled++;
    const text = this.#characters.push(token);
    return text === undefined ? undefined : this.#settle(text);
  }

  /** What the answer's end sets free, at most two pieces. A stop string may still come up in it. */
  flush(): readonly Piece[] {
    const last = this.#unsettled > 0 ? this.#settle(this.#characters.flush()) : undefined;
    const rest = this.matched === undefined ? this.#filter.flush() : undefined;
    return [last, rest].filter((piece) => piece !== undefined);
  }

  #settle(text: string): Piece | undefined {
    const tokens = this.#unsettled;
    this.#unsettled = 0;
    return this.#filter.push(text, tokens);
  }
}
