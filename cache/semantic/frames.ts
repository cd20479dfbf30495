/** Words that ask, where they stand in the right place: "explain" at the beginning, "need" in "do I need to". English. Pure. */

const FIRST = new Set('tell explain describe define give show get let'.split(' '));
const AFTER_FIRST = new Set('me us'.split(' '));
const WANTING = new Set('want need have like wish'.split(' '));
const WHO_WANTS = new Set('i we you one'.split(' '));
const OF_A = new Set('kind kinds sort sorts type types'.split(' '));
const NAMING = new Set('word term phrase expression'.split(' '));

/**
 * @param words in lower case; empty for what is no word
 * @param isQuoted of what stands at a place
 */
export function isFrame(words: readonly string[], at: number, isQuoted: (at: number) => boolean): boolean {
  const [before, word, after] = [words[at - 1] ?? '', words[at] as string, words[at + 1] ?? ''];
  if (at === 0 && FIRST.has(word)) return !['give', 'show', 'get', 'let', 'tell'].includes(word) || AFTER_FIRST.has(after);
  if (word === 'help') return AFTER_FIRST.has(after);
  if (WANTING.has(word)) return WHO_WANTS.has(before) && after === 'to';
  if (OF_A.has(word)) return after === 'of';
  return NAMING.has(word) && isQuoted(at + 1);
}
