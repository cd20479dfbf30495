/** Text as the rules in this folder are written for: lower case, Latin letters without accents. Pure. */

const BEYOND_ASCII = /[^\0-\x7f]/;
const TYPOGRAPHIC_QUOTES = /[\u2018\u2019]/g;
const ACCENTS = /[\u0300-\u036f]/g;

/** Takes time in proportion to the text: give it a bounded one. */
export function plain(text: string): string {
  const lower = text.toLowerCase();
  return BEYOND_ASCII.test(lower) ? lower.replace(TYPOGRAPHIC_QUOTES, "'").normalize('NFD').replace(ACCENTS, '') : lower;
}
