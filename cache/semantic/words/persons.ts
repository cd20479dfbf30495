/** Whose something is, and when. English. Pure. */
const POSSESSORS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    mine: 'my mine our ours',
    yours: 'your yours',
    his: 'his him he',
    hers: 'her hers she',
    theirs: 'their theirs they them',
  }).flatMap(([whose, words]) => words.split(' ').map((word): [string, string] => [word, whose])),
);
const TENSES: ReadonlyMap<string, string> = new Map(
  Object.entries({ past: 'was were did had used', future: 'will shall' }).flatMap(([tense, words]) =>
    words.split(' ').map((word): [string, string] => [word, tense]),
  ),
);

const PERSONS: ReadonlyMap<string, string> = new Map([
  ...POSSESSORS,
  ...'you'.split(' ').map((word): [string, string] => [word, 'yours']),
  ...'i me we us'.split(' ').map((word): [string, string] => [word, 'mine']),
]);
const MODALS: ReadonlyMap<string, string> = new Map(
  Object.entries({ can: 'can could may might', should: 'should must shall ought' }).flatMap(([modal, words]) =>
    words.split(' ').map((word): [string, string] => [word, modal]),
  ),
);

export const possessorOf = (word: string): string | undefined => POSSESSORS.get(word);
export const tenseOf = (word: string): string | undefined => TENSES.get(word);
export const modalOf = (word: string): string | undefined => MODALS.get(word);

/** Who does something to whom, where more than one takes part. @param words in lower case */
export function personsOf(words: readonly string[]): readonly string[] {
  const all = words.flatMap((word) => PERSONS.get(word) ?? []);
  return new Set(all).size > 1 ? all : [];
}
