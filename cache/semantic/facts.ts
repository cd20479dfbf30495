/**
 * What a prompt says that a vector of it does not: numbers, names, denials, which of two opposites, what is asked, and
 * what stands in which part. Pure.
 *
 * Nothing here understands a sentence. Where it is not sure it takes two prompts for different, which costs a hit and
 * never gives a wrong answer.
 */
import { isFrame } from './frames.ts';
import { numberOf } from './number-of.ts';
import { questionOf } from './question.ts';
import { stemmed } from './stem.ts';
import type { Token } from './tokens.ts';
import { tokensOf } from './tokens.ts';
import { SIDES } from './words/flips.ts';
import { isNegation, negationsWithin } from './words/negations.ts';
import { numberInWords } from './words/numbers.ts';
import { modalOf, personsOf, possessorOf, tenseOf } from './words/persons.ts';
import { ADJUNCTS, GENITIVES, isFunctionWord, PART_OF, SAME_AS } from './words/synonyms.ts';

export interface Facts {
  /** ISO 639-1, or und. */
  readonly language: string;
  /** Who, when, why, how many; see question.ts. */
  readonly question: string;
  /** What is denied, or alone is meant: "not red", "only cats". Sorted. */
  readonly bound: readonly string[];
  /** Numbers, quotations, identifiers and signs, in their order. */
  readonly exact: readonly string[];
  /** Words of which each must be in the other prompt: names, and what is counted. */
  readonly names: readonly string[];
  /** Which of opposites, as "choice.side". */
  readonly sides: readonly string[];
  /** Of the past or the future. Sorted. */
  readonly tenses: readonly string[];
  /** Whose: mine, yours, his. Sorted. */
  readonly possessors: readonly string[];
  /** Every word with a matter of its own, in its order. */
  readonly words: readonly string[];
  /** Of those, the ones that may stand elsewhere in the sentence: "in Java", the tallest, and x in "x of y" and "y's x". */
  readonly free: readonly string[];
  /** [the part that a preposition gives, what stands behind it] */
  readonly roles: readonly (readonly [string, string])[];
}

/** Over it the facts of a prompt are too many to be kept, and it is not compared. */
export const MOST_WORDS = 64;

const SUPERLATIVE = /^(?:\p{L}{3,}est|best|worst|most|least)$/u;

const LIMITING = new Set(['only', 'just', 'even', 'alone']);
const ARTICLES = new Set(['a', 'an', 'the']);

type Word = Extract<Token, { kind: 'word' }>;

/**
 * @param text normalised
 * @param language ISO 639-1, or und
 * @returns undefined for what has nothing, or too much, to compare
 */
export function factsOf(text: string, language: string): Facts | undefined {
  // Where nobody knows the language, and it has letters that English has not, every word counts.
  const words = language === 'und' && /[^\p{ASCII}]/u.test(text) ? 'none' : language;
  const collected = new Collector(tokensOf(text), language, words);
  const facts = collected.facts(text);
  const told = facts.words.length + facts.exact.length;
  return told === 0 || told > MOST_WORDS ? undefined : facts;
}

class Collector {
  readonly #tokens: readonly Token[];
  readonly #language: string;
  readonly #wordsOf: string;
  readonly #lower: readonly string[];
  readonly #trustsCase: boolean;
  readonly #exact: string[] = [];
  readonly #names = new Set<string>();
  readonly #sides = new Set<string>();
  readonly #tenses = new Set<string>();
  readonly #possessors = new Set<string>();
  readonly #free = new Set<string>();
  readonly #roles: [string, string][] = [];
  readonly #words: string[] = [];
  readonly #bound: string[] = [];
  /** Where in the words those began that stand together. */
  #run = 0;
  #possessed = false;
  #part: string | undefined;
  #counted = false;

  /** @param wordsOf the language whose function words count for nothing */
  constructor(tokens: readonly Token[], language: string, wordsOf: string) {
    this.#tokens = tokens;
    this.#language = language;
    this.#wordsOf = wordsOf;
    this.#lower = tokens.map((token) => (token.kind === 'word' ? token.lower : ''));
    const words = tokens.filter((token): token is Word => token.kind === 'word');
    const capitals = words.filter(({ capital }) => capital).length;
    this.#trustsCase = capitals * 2 <= words.length || words.length <= 2;
  }

  facts(text: string): Facts {
    const question = questionOf(this.#lower, this.#wordsOf);
    const persons = personsOf(this.#lower);
    if (persons.length > 0) this.#exact.push(`persons ${persons.join(' ')}`);
    if (question.kind !== 'how') this.#addModal();
    for (const kind of question.further) this.#exact.push(`asks ${kind}`);
    for (let at = 0; at < this.#tokens.length; ) {
      const token = this.#tokens[at] as Token;
      if (token.kind !== 'word') {
        this.#add(token);
        at++;
      } else at += this.#addWord(token, at, question.consumed);
    }
    // "Known for" is not "known".
    if (this.#part !== undefined) this.#exact.push(`ends ${this.#part}`);
    return {
      language: this.#language,
      question: question.kind,
      bound: [...this.#bound, `within ${negationsWithin(text.toLowerCase(), this.#language)}`].sort(),
      exact: this.#exact,
      names: [...this.#names],
      sides: [...this.#sides],
      tenses: [...this.#tenses].sort(),
      possessors: [...this.#possessors].sort(),
      words: this.#words,
      free: [...this.#free],
      roles: this.#roles,
    };
  }

  #add(token: Exclude<Token, { kind: 'word' }>): void {
    this.#addExact(`${token.kind} ${token.kind === 'number' ? numberOf(token.text, this.#language) : token.text}`);
    this.#counted = token.kind === 'number';
  }

  #addExact(what: string): void {
    this.#exact.push(what);
    this.#place(what);
  }

  /** @returns how many tokens that took */
  #addWord(token: Word, at: number, consumed: ReadonlySet<number>): number {
    const number = numberInWords(this.#lower, at, this.#language);
    if (number) {
      for (let i = at; i < at + number.words; i++) this.#side(this.#lower[i] as string);
      this.#addExact(`${number.ordinal ? 'ordinal' : 'number'} ${number.value}`);
      this.#counted = !number.ordinal;
      return number.words;
    }
    const lower = this.#plain(token, at);
    if (isNegation(lower, this.#language)) this.#bind('not', at);
    if (LIMITING.has(lower)) this.#bind(lower, at);
    if (!consumed.has(at)) this.#side(lower);
    const isName = this.#isName(token);
    if (consumed.has(at) || isFrame(this.#lower, at, (place) => this.#tokens[place]?.kind === 'literal')) this.#endRun();
    else if (!isName && (isFunctionWord(lower, this.#wordsOf) || isNegation(lower, this.#language))) this.#addFunctionWord(lower);
    else this.#addContent(lower, isName);
    if (token.lower.endsWith("'s") && !isFunctionWord(lower, this.#wordsOf)) this.#possessed = true;
    return 1;
  }

  /** Without what is hung on: 's, n't, 'll. A denial that was hung on counts. */
  #plain({ lower }: Word, at: number): string {
    const denied = /^(.+?)n't$/.exec(lower);
    if (denied) {
      this.#bind('not', at);
      return denied[1] === 'ca' ? 'can' : denied[1] === 'wo' ? 'will' : (denied[1] as string);
    }
    const bare = lower.replace(/'(?:s|ll|re|ve|d|m)?$/, '');
    return this.#language === 'fr' || this.#language === 'it' ? bare.replace(/^\p{L}{1,4}'/u, '') : bare;
  }

  #bind(what: string, at: number): void {
    const next = this.#tokens.slice(at + 1).find((token) => token.kind !== 'word' || !ARTICLES.has(token.lower));
    this.#bound.push(`${what} ${next?.kind === 'word' ? stemmed(next.lower) : next?.text}`);
  }

  #isName(token: Word): boolean {
    if (/[+#]$/.test(token.text)) return true;
    if (!token.capital || !this.#trustsCase) return false;
    const shouts = token.text.length > 1 && token.text === token.text.toUpperCase();
    return (shouts || !token.begins) && token.lower !== 'i' && !token.lower.startsWith("i'");
  }

  /** "When can I", "when should I". */
  #addModal(): void {
    for (const word of this.#lower) {
      const modal = modalOf(word);
      if (modal) this.#sides.add(`modal.${modal}`);
    }
  }

  #side(lower: string): void {
    for (const side of SIDES.get(lower) ?? []) this.#sides.add(side);
    const tense = tenseOf(lower);
    if (tense) this.#tenses.add(tense);
    const possessor = possessorOf(lower);
    if (possessor) this.#possessors.add(possessor);
  }

  #addFunctionWord(lower: string): void {
    this.#counted = false;
    this.#part = PART_OF.get(lower) ?? this.#part;
    if (GENITIVES.has(lower)) for (const head of this.#words.slice(this.#run)) this.#free.add(head);
    this.#endRun();
  }

  #addContent(lower: string, isName: boolean): void {
    const word = SAME_AS.get(lower) ?? stemmed(lower);
    const same = SAME_AS.get(word) ?? word;
    if (isName || this.#counted) this.#names.add(same);
    if (!isName && SUPERLATIVE.test(lower)) this.#free.add(same);
    this.#counted = false;
    this.#place(same);
  }

  #place(word: string): void {
    if (this.#part !== undefined) {
      this.#roles.push([this.#part, word]);
      // "Followed by her" is not "followed her".
      if (this.#part === 'by') this.#exact.push(`by ${word}`);
      if (ADJUNCTS.has(this.#part)) this.#free.add(word);
      this.#part = undefined;
    }
    if (this.#possessed) this.#free.add(word);
    this.#words.push(word);
  }

  #endRun(): void {
    this.#possessed = false;
    this.#run = this.#words.length;
  }
}
