/**
 * A word without the endings of plural and tense, so that forms of one word are one. Pure.
 *
 * It takes off less than Porter's: that makes one stem of universe and university, of general and generate, and so would
 * take prompts for equal that are not. What has another form of its own (went, mice) stays apart, which only costs a hit.
 */
const SHORTEST = 3;
const VOWEL = /[aeiouy]/;

/** @param word in lower case, of Latin letters; others come back as they are */
export function stemmed(word: string): string {
  if (word.length <= SHORTEST || !/^[a-z]+$/.test(word)) return word;
  return withoutTense(withoutPlural(word));
}

function withoutPlural(word: string): string {
  if (word.endsWith('ies') && word.length > 4) return `${word.slice(0, -3)}y`;
  if (/(?:ss|x|ch|sh|z)es$/.test(word)) return word.slice(0, -2);
  if (/[^sui]s$/.test(word)) return word.slice(0, -1);
  return word;
}

function withoutTense(word: string): string {
  for (const ending of ['ing', 'ed']) {
    const stem = word.slice(0, -ending.length);
    if (word.endsWith(ending) && stem.length >= SHORTEST && VOWEL.test(stem)) return restored(stem);
  }
  return word;
}

/** "Hopping" is of hop, "hoping" of hope. */
function restored(stem: string): string {
  if (/([bdgkmnprt])\1$/.test(stem)) return stem.slice(0, -1);
  if (/^[^aeiouy]*[aeiouy][^aeiouywx]$/.test(stem)) return `${stem}e`;
  return /(?:[aeiouy][^aeiouy]+(?:at|ut|iz)|[^f]v|c|dg|[^aeiou]u)$/.test(stem) ? `${stem}e` : stem;
}
