/**
 * Which language a text is in, by its letters and, in Latin letters, by its commonest words. Pure.
 *
 * A bounded head and tail are read, once. Libraries with n-gram profiles know more languages and take ten to a hundred
 * times as long; see README.md for the figures.
 */
import { LATIN_LETTERS, LATIN_WORDS, LATINS, scriptOf } from './letters.ts';

export const UNSURE = 'und';

/** UTF-16 units read. */
const HEAD_UNITS = 220;
const TAIL_UNITS = 80;
/** A sign that stands for a word or a syllable counts as so many letters. */
const SIGN_LETTERS = 3;
/** What a language must have, and have more than the next one. */
const LEAST_VOTES = 1;
const LEAST_LEAD = 0.34;

/** @returns ISO 639-1, or und when unsure */
export function languageOf(text: string): string {
  const seen = text.length <= HEAD_UNITS + TAIL_UNITS ? text : `${text.slice(0, HEAD_UNITS)} ${text.slice(-TAIL_UNITS)}`;
  const letters = new Map<string, number>();
  const votes = new Float64Array(LATINS.length);
  let latin = 0;
  for (let at = 0; at < seen.length; ) {
    const code = seen.charCodeAt(at);
    if (isLatin(code)) {
      const end = latinEnd(seen, at);
      latin += end - at;
      voteByWord(votes, seen.slice(at, end).toLowerCase());
      at = end;
    } else {
      const script = code < 0x370 ? undefined : scriptOf(code);
      if (script) letters.set(script.language, (letters.get(script.language) ?? 0) + (script.signs ? SIGN_LETTERS : 1));
      at++;
    }
  }
  const [other, count] = mostOf(letters);
  if (other !== undefined && count > latin) return refined(other, letters, seen);
  return latin === 0 ? UNSURE : elected(votes);
}

const isLatin = (code: number) =>
  (code >= 97 && code <= 122) ||
  (code >= 65 && code <= 90) ||
  (code >= 0xc0 && code < 0x250 && code !== 0xd7 && code !== 0xf7) ||
  (code >= 0x1e00 && code < 0x1f00);

function latinEnd(seen: string, at: number): number {
  let end = at + 1;
  while (end < seen.length && isLatin(seen.charCodeAt(end))) end++;
  return end;
}

/** A word votes for each language it is common in, the less the more of them there are; so does each telling letter. */
function voteByWord(votes: Float64Array, word: string): void {
  const speakers = LATIN_WORDS.get(word);
  if (speakers) for (const language of speakers) votes[language]! += 1 / speakers.length;
  for (let i = 0; i < word.length; i++) {
    if (word.charCodeAt(i) < 128) continue;
    const users = LATIN_LETTERS.get(word[i] as string);
    if (users) for (const language of users) votes[language]! += 1 / users.length;
  }
}

function elected(votes: Float64Array): string {
  let best = 0;
  let next = -1;
  for (let i = 1; i < votes.length; i++) {
    if (votes[i]! > votes[best]!) [next, best] = [best, i];
    else if (next < 0 || votes[i]! > votes[next]!) next = i;
  }
  const lead = votes[best]! - (votes[next] ?? 0);
  return votes[best]! >= LEAST_VOTES && lead >= LEAST_LEAD ? (LATINS[best] as string) : UNSURE;
}

function mostOf(letters: ReadonlyMap<string, number>): [string | undefined, number] {
  let most: [string | undefined, number] = [undefined, 0];
  for (const [language, count] of letters) if (count > most[1]) most = [language, count];
  return most;
}

/** Tells languages of one script apart by the letters that only one of them has. */
function refined(language: string, letters: ReadonlyMap<string, number>, seen: string): string {
  // Japanese is written with more Chinese signs than kana, and Chinese with no kana at all.
  if (language === 'zh' && (letters.get('ja') ?? 0) > 0) return 'ja';
  if (language === 'ru') {
    if (/[іїєґ]/i.test(seen)) return 'uk';
    if (/[ђјљњћџ]/i.test(seen)) return 'sr';
    return /[ыэё]/i.test(seen) || !/ъ/i.test(seen) ? 'ru' : 'bg';
  }
  if (language === 'ar') {
    if (/[ٹڈڑںے]/.test(seen)) return 'ur';
    return /[پچژگ]/.test(seen) ? 'fa' : 'ar';
  }
  return language;
}
