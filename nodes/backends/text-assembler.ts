/**
 * Turns an engine's tokens into pieces that may be sent: whole code points only, and nothing that belongs to a stop
 * string or may turn out to. Pure; the engine's detokenizer comes in as a function.
 *
 * A piece never splits a token, so `seq` and `tokens` always tell which tokens a text stands for. The one exception is
 * the last piece before a stop string: it carries the token in which the stop string begins with that token's text cut.
 *
 * An answer whose beginning was delivered before goes on behind it: positions count on, the detokenizer sees the tokens
 * before, and a stop string may begin in what was delivered. It was released because the token after it showed that none
 * began there, but that token is not known here, and another one may follow.
 */

/** Tokens `seq` to `seq + tokens - 1` of the answer, as text. */
export interface Piece {
  readonly seq: number;
  readonly tokens: number;
  readonly text: string;
  /** As many as `tokens`. */
  readonly tokenIds: readonly number[];
}

/** The beginning of an answer: `tokenIds` are its last tokens, as many as are known. */
export interface Beginning {
  readonly tokens: number;
  readonly text: string;
  readonly tokenIds: readonly number[];
}

const NOTHING: Beginning = { tokens: 0, text: '', tokenIds: [] };

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
  #before: readonly number[];

  /** @param before tokens of the answer whose text is known */
  constructor(detokenize: Detokenize, before: readonly number[] = []) {
    this.#detokenize = detokenize;
    this.#before = before.slice(-CONTEXT_TOKENS);
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

/** What became text together. */
interface Unit {
  readonly tokenIds: readonly number[];
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
  /** How much of the text's beginning was delivered before; it is kept for the stop string that may begin in it. */
  #given = 0;
  #seq: number;
  #matched: number | undefined;

  /**
   * @param stops non-empty strings
   * @param delivered the beginning of the answer, no part of which is given again
   */
  constructor(stops: readonly string[], { tokens, text }: Pick<Beginning, 'tokens' | 'text'> = NOTHING) {
    this.#stops = stops;
    this.#longest = Math.max(0, ...stops.map((stop) => stop.length));
    this.#seq = tokens;
    const possible = this.#possibleBeginning(text);
    if (possible > 0) {
      this.#given = possible;
      this.#text = text.slice(-possible);
      this.#held.push({ tokenIds: [], text: this.#text });
    }
  }

  /** Index of the stop string that ended the answer; undefined while none did. */
  get matched(): number | undefined {
    return this.#matched;
  }

  /** @returns what may be sent now; undefined when everything is held. */
  push(text: string, tokenIds: readonly number[]): Piece | undefined {
    if (this.#stops.length === 0 && this.#held.length === 0 && text !== '') return this.#piece(tokenIds, text);
    const scanned = this.#text.length;
    this.#held.push({ tokenIds, text });
    this.#text += text;
    const start = this.#find(scanned);
    if (start !== undefined) return this.#cut(start);
    return this.#release(this.#text.length - this.#possibleBeginning(this.#text));
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

  /** Length of the longest end of the text with which some stop string begins. */
  #possibleBeginning(text: string): number {
    for (let length = Math.min(this.#longest - 1, text.length); length > 0; length--) {
      const end = text.slice(-length);
      if (this.#stops.some((stop) => stop.length > length && stop.startsWith(end))) return length;
    }
    return 0;
  }

  /** Releases the units that end within the first `safe` characters. */
  #release(safe: number): Piece | undefined {
    let chars = 0;
    let units = 0;
    for (const unit of this.#held) {
      if (chars + unit.text.length > safe) break;
      chars += unit.text.length;
      units++;
    }
    if (chars === 0) return undefined;
    const text = this.#text.slice(this.#given, chars);
    const tokenIds = idsOf(this.#held.splice(0, units));
    this.#text = this.#text.slice(chars);
    // What was delivered before is one unit, and the first.
    this.#given = 0;
    return text === '' ? this.#keep(tokenIds) : this.#piece(tokenIds, text);
  }

  /** Tokens without a text ride with the next piece. */
  #keep(tokenIds: readonly number[]): undefined {
    if (tokenIds.length > 0) this.#held.unshift({ tokenIds, text: '' });
  }

  /** The text before a stop string, with the tokens that it comes from. */
  #cut(start: number): Piece | undefined {
    const text = this.#text.slice(this.#given, start);
    const units: Unit[] = [];
    let chars = 0;
    for (const unit of this.#held) {
      if (chars >= start) break;
      chars += unit.text.length;
      units.push(unit);
    }
    this.#held = [];
    this.#text = '';
    return text === '' ? undefined : this.#piece(idsOf(units), text);
  }

  #piece(tokenIds: readonly number[], text: string): Piece {
    const seq = this.#seq;
    this.#seq += tokenIds.length;
    return { seq, tokens: tokenIds.length, text, tokenIds };
  }
}

const idsOf = (units: readonly Unit[]) => units.flatMap(({ tokenIds }) => tokenIds);

/** Both together: tokens in, pieces out. */
export class TextAssembler {
  readonly #characters: CharacterAssembler;
  readonly #filter: StopFilter;
  #unsettled: number[] = [];

  /** @param delivered the beginning of the answer, no part of which is given again */
  constructor(detokenize: Detokenize, stops: readonly string[], delivered: Beginning = NOTHING) {
    this.#characters = new CharacterAssembler(detokenize, delivered.tokenIds);
    this.#filter = new StopFilter(stops, delivered);
  }

  /** Index of the stop string that ended the answer; undefined while none did. */
  get matched(): number | undefined {
    return this.#filter.matched;
  }

  /** @returns what may be sent now; undefined when everything is held. */
  push(token: number): Piece | undefined {
    this.#unsettled.push(token);
    const text = this.#characters.push(token);
    return text === undefined ? undefined : this.#settle(text);
  }

  /** What the answer's end sets free, at most two pieces. A stop string may still come up in it. */
  flush(): readonly Piece[] {
    const last = this.#unsettled.length > 0 ? this.#settle(this.#characters.flush()) : undefined;
    const rest = this.matched === undefined ? this.#filter.flush() : undefined;
    return [last, rest].filter((piece) => piece !== undefined);
  }

  #settle(text: string): Piece | undefined {
    const tokenIds = this.#unsettled;
    this.#unsettled = [];
    return this.#filter.push(text, tokenIds);
  }
}

/**
 * What the tokens of a beginning say behind its text: '' as a rule. Something else only where a stop string ended the
 * answer within its last token.
 * @returns undefined where the tokens are not those of the text
 */
export function behindText({ text, tokenIds }: Beginning, detokenize: Detokenize): string | undefined {
  const characters = new CharacterAssembler(detokenize);
  const said = tokenIds.map((token) => characters.push(token) ?? '').join('') + characters.flush();
  return said.startsWith(text) ? said.slice(text.length) : undefined;
}
