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

export const possessorOf = (word: string): string | undefined => POSSESSORS.get(word);
export const tenseOf = (word: string): string | undefined => TENSES.get(word);
