/**
 * One pass over a text: its words with hashes, its options, and how often each sign stands in it. Pure.
 *
 * The buffers are made once and used again, so that a scan allocates nothing: a scan is valid until the next one.
 */
import { addUnit, EMPTY } from './hashing.ts';
import { classesOf } from './lexicon.ts';

/** What is read of a long text: its start and its end, where wishes are said. In UTF-16 units. */
const HEAD_UNITS = 6000;
const TAIL_UNITS = 2000;
export const MOST_WORDS = 4096;
export const MOST_OPTIONS = 16;

export const WORD = 0;
export const NUMBER = 1;
export const COMMAND = 2;

const LOWER = 1;
const UPPER = 2;
const DIGIT = 3;
const SPACE = 4;
const LINE = 5;
const SIGN = 6;

const KINDS = new Uint8Array(128).map((_, code) => {
  if (code >= 97 && code <= 122) return LOWER;
  if (code >= 65 && code <= 90) return UPPER;
  if (code >= 48 && code <= 57) return DIGIT;
  if (code === 10) return LINE;
  return code <= 32 ? SPACE : SIGN;
});

/** Typographic quotes and dashes part words as blanks do; every other sign beyond ASCII counts as a letter. */
function kindOf(code: number): number {
  if (code < 128) return KINDS[code] as number;
  return (code >= 0x2000 && code < 0x2070) || code === 0xa0 ? SPACE : LOWER;
}

export class Scan {
  text = '';
  /** UTF-16 units of the whole text, also of what was not read. */
  units = 0;
  /** UTF-16 units read. */
  read = 0;
  words = 0;
  readonly hash = new Int32Array(MOST_WORDS);
  readonly start = new Int32Array(MOST_WORDS);
  readonly end = new Int32Array(MOST_WORDS);
  readonly kind = new Uint8Array(MOST_WORDS);
  readonly classes = new Int32Array(MOST_WORDS);
  /** 0 for the stem, 1 and up for the options. */
  readonly part = new Uint8Array(MOST_WORDS);
  /** Whether the word starts with a capital. */
  readonly capital = new Uint8Array(MOST_WORDS);
  /** Whether a sentence or line starts there. */
  readonly first = new Uint8Array(MOST_WORDS);
  /** By ASCII code, of the whole text. */
  readonly signs = new Int32Array(128);
  capitals = 0;
  digits = 0;
  letters = 0;
  foreign = 0;
  sentences = 0;
  /** "A. " and so on at the start of lines, in order. */
  options = 0;
  readonly optionStart = new Int32Array(MOST_OPTIONS + 1);
  /** ')' or '.', as a code; 0 without options. */
  optionSign = 0;
  /** Where the stem ends, in units read. */
  stemEnd = 0;
  /** Whether it ends by "Answer:". */
  asks = false;

  scan(text: string): void {
    this.#reset(text);
    this.#stripAnswer();
    const source = this.text;
    const { read } = this;
    let at = 0;
    let first = true;
    let line = true;
    while (at < read) {
      const code = source.charCodeAt(at);
      const kind = kindOf(code);
      if (kind === SPACE) at++;
      else if (kind === LINE) {
        this.#count(10);
        first = line = true;
        at++;
      } else if (line && kind === UPPER && this.#option(at, code)) {
        at += 2;
        line = false;
        first = true;
      } else if (kind === SIGN) {
        this.#count(code);
        line = false;
        if (code === 92) at = this.#command(at);
        else at++;
        if (code === 46 || code === 63 || code === 33) {
          if (at >= read || source.charCodeAt(at) <= 32) this.sentences++;
          first = true;
        }
      } else {
        at = kind === DIGIT ? this.#number(at, first) : this.#word(at, first);
        first = line = false;
      }
    }
    this.optionStart[this.options] = read;
    this.stemEnd = this.options > 0 ? (this.optionStart[0] as number) : read;
  }

  #count(code: number): void {
    this.signs[code] = (this.signs[code] as number) + 1;
  }

  #reset(text: string): void {
    this.units = text.length;
    this.text = text.length > HEAD_UNITS + TAIL_UNITS ? `${text.slice(0, HEAD_UNITS)}\n${text.slice(-TAIL_UNITS)}` : text;
    this.read = this.text.length;
    this.words = this.capitals = this.digits = this.letters = this.foreign = this.sentences = this.options = 0;
    this.optionSign = 0;
    this.signs.fill(0);
  }

  #stripAnswer(): void {
    const source = this.text;
    let end = source.length;
    while (end > 0 && source.charCodeAt(end - 1) <= 32) end--;
    this.asks = source.endsWith('Answer:', end);
    this.read = this.asks ? end - 7 : end;
  }

  #option(at: number, code: number): boolean {
    const sign = this.text.charCodeAt(at + 1);
    if (code !== 65 + this.options || this.options >= MOST_OPTIONS) return false;
    if (sign !== 46 && sign !== 41) return false;
    if (this.optionSign !== 0 && this.optionSign !== sign) return false;
    this.optionSign = sign;
    this.optionStart[this.options++] = at;
    return true;
  }

  #word(from: number, first: boolean): number {
    const source = this.text;
    let hash = EMPTY;
    let at = from;
    const capital = KINDS[source.charCodeAt(from)] === UPPER;
    for (; at < this.read; at++) {
      const code = source.charCodeAt(at);
      if (code >= 128) {
        if (kindOf(code) !== LOWER) break;
        this.foreign++;
        hash = addUnit(hash, code);
        continue;
      }
      const kind = KINDS[code];
      if (kind === LOWER) hash = addUnit(hash, code);
      else if (kind === UPPER) {
        this.capitals++;
        hash = addUnit(hash, code | 32);
      } else if (code !== 39 || at + 1 >= this.read || KINDS[source.charCodeAt(at + 1)] !== LOWER) break;
    }
    this.letters += at - from;
    this.#push(hash, from, at, WORD, first, capital);
    return at;
  }

  /** 1,234.5 is one number. */
  #number(from: number, first: boolean): number {
    const source = this.text;
    let at = from;
    for (; at < this.read; at++) {
      const code = source.charCodeAt(at);
      if (KINDS[code] === DIGIT) this.digits++;
      else if ((code !== 46 && code !== 44) || KINDS[source.charCodeAt(at + 1)] !== DIGIT) break;
    }
    // Numbers differ by their size only: 23 and 57 say the same of a question.
    this.#push(addUnit(addUnit(EMPTY, 35), Math.min(at - from, 8)), from, at, NUMBER, first, false);
    return at;
  }

  /** \frac and its like; a lone backslash is a sign. */
  #command(from: number): number {
    const source = this.text;
    let hash = addUnit(EMPTY, 92);
    let at = from + 1;
    for (; at < this.read; at++) {
      const code = source.charCodeAt(at);
      if (code >= 128 || (KINDS[code] !== LOWER && KINDS[code] !== UPPER)) break;
      hash = addUnit(hash, code);
    }
    if (at > from + 1) this.#push(hash, from, at, COMMAND, false, false);
    return at;
  }

  #push(hash: number, start: number, end: number, kind: number, first: boolean, capital: boolean): void {
    const index = this.words;
    if (index >= MOST_WORDS) return;
    this.words = index + 1;
    this.hash[index] = hash;
    this.start[index] = start;
    this.end[index] = end;
    this.kind[index] = kind;
    this.classes[index] = kind === WORD ? classesOf(hash) : 0;
    this.part[index] = this.options;
    this.capital[index] = capital ? 1 : 0;
    this.first[index] = first ? 1 : 0;
  }
}
