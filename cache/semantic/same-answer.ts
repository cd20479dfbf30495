/**
 * Whether two answers say the same, told by their words. Pure.
 *
 * Wording differs from one answer to the next though both are right, so what is compared is what an answer is held to:
 * its yes or no, the numbers and names it gives, and how much of the shorter one is in the longer one. That finds a
 * wrong fact and a change of subject. It does not find a wrong explanation in the same words, and it may take two good
 * poems for different; README.md says how that is meant to be read.
 */
import { factsOf, MOST_WORDS } from './facts.ts';
import { stemmed } from './stem.ts';
import { isFunctionWord } from './words/synonyms.ts';

/** Words that matter; up to so many an answer is a fact, over it an explanation. */
const SHORT = 12;
/** Share of the shorter answer's words that the longer one must have. */
const OF_A_FACT = 0.6;
const OF_AN_EXPLANATION = 0.4;
/** Share of the numbers and names of an explanation that must be in the other; of a fact all must be. */
const OF_ITS_FIGURES = 0.5;

const YES = /^(?:yes|yeah|yep|correct|true|indeed|ja|oui|sí|si|sim|да)\b/i;
const NO = /^(?:no|nope|not|incorrect|false|nein|non|não|нет)\b/i;

/** @param language of the answers; ISO 639-1, or und */
export function saysTheSame(reused: string, fresh: string, language: string): boolean {
  const [a, b] = [plain(reused), plain(fresh)];
  if (a === b) return true;
  if (a === '' || b === '' || stance(a) * stance(b) < 0) return false;
  const [ours, theirs] = [wordsOf(a, language), wordsOf(b, language)];
  const [shorter, longer] = ours.size <= theirs.size ? [ours, theirs] : [theirs, ours];
  const isFact = shorter.size <= SHORT;
  if (!figuresAgree(a, b, language, isFact)) return false;
  // "Yes." beside "Yes, it is safe", or "3" beside "3 hours": that is all there is to compare.
  if (shorter.size === 0) return stance(a) !== 0 || (numbersOf(a, language).size > 0 && numbersOf(b, language).size > 0);
  return share(shorter, longer) >= (isFact ? OF_A_FACT : OF_AN_EXPLANATION);
}

const plain = (text: string) => text.normalize('NFKC').trim().replace(/\s+/g, ' ');

const stance = (text: string) => (YES.test(text) ? 1 : NO.test(text) ? -1 : 0);

function wordsOf(text: string, language: string): ReadonlySet<string> {
  const words = text.toLowerCase().match(/[\p{L}\p{N}][\p{L}\p{M}\p{N}]*/gu) ?? [];
  return new Set(words.filter((word) => !isFunctionWord(word, language) && !/^\p{N}/u.test(word)).map(stemmed));
}

/** Of numbers and names, what the one with fewer of them gives is given by the other. */
function figuresAgree(a: string, b: string, language: string, isFact: boolean): boolean {
  return [numbersOf, namesOf].every((figuresOf) => {
    const [ours, theirs] = [figuresOf(a, language), figuresOf(b, language)];
    const [fewer, more] = ours.size <= theirs.size ? [ours, theirs] : [theirs, ours];
    return fewer.size === 0 || share(fewer, more) >= (isFact ? 1 : OF_ITS_FIGURES);
  });
}

/** Cut into pieces that factsOf takes. */
function piecesOf(text: string): readonly string[] {
  const words = text.split(' ');
  return Array.from({ length: Math.ceil(words.length / (MOST_WORDS / 2)) }, (_, i) =>
    words.slice((i * MOST_WORDS) / 2, ((i + 1) * MOST_WORDS) / 2).join(' '),
  );
}

function numbersOf(text: string, language: string): ReadonlySet<string> {
  const exact = piecesOf(text).flatMap((piece) => factsOf(piece, language)?.exact ?? []);
  return new Set(exact.filter((one) => one.startsWith('number ')));
}

/** Words with a capital that don't begin a sentence. */
function namesOf(text: string, language: string): ReadonlySet<string> {
  const capitals = text.match(/(?<=[\p{L}\p{N},;)"'] ["'(]?)\p{Lu}[\p{L}\p{M}]+/gu) ?? [];
  return new Set(capitals.map((word) => stemmed(word.toLowerCase())).filter((word) => !isFunctionWord(word, language)));
}

function share(some: ReadonlySet<string>, all: ReadonlySet<string>): number {
  return [...some].filter((word) => all.has(word)).length / some.size;
}
