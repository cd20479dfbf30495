/** What kind of answer a prompt asks for. Pure. */

export interface Question {
  /** One of who, what, when, where, why, how, "how many" and its like, which of the polar ones, or order. */
  readonly kind: string;
  /** Places of words that the kind stands for, so that "in which year" and "when" leave nothing over. */
  readonly consumed: ReadonlySet<number>;
}

const ASKING: ReadonlyMap<string, string> = new Map(
  Object.entries({
    who: 'who whom whose wer wem wen qui quién quiénes chi quem wie кто',
    what: 'what which was welche welcher welches quoi que quel quelle quels quelles qué cuál cuáles cosa quale quali qual quais wat welke что какой какая какие',
    when: 'when wann quand cuándo quando wanneer когда',
    where: 'where wo où dónde dove onde waar где',
    why: 'why warum wieso weshalb pourquoi perché waarom почему зачем',
    how: 'how wie comment cómo come como hoe как',
    'how many': 'combien cuántos cuántas quanti quante quantos quantas hoeveel сколько',
  }).flatMap(([kind, words]) => words.split(' ').map((word): [string, string] => [word, kind])),
);
const WITHIN_WORDS = 6;
/** In English: what stands behind "how". */
const MEASURES = new Set('many much long old far often tall big large high deep fast heavy soon wide'.split(' '));
/** "How old is it" asks for its age. */
const MEASURED: Readonly<Record<string, string>> = {
  old: 'age',
  far: 'distance',
  tall: 'height',
  high: 'height',
  fast: 'speed',
  heavy: 'weight',
  big: 'size',
  large: 'size',
  deep: 'depth',
  wide: 'width',
};
/** "What is the reason" asks why. */
const ASKED_FOR: Readonly<Record<string, string>> = {
  year: 'when',
  date: 'when',
  day: 'when',
  reason: 'why',
  reasons: 'why',
  cause: 'why',
  causes: 'why',
  caused: 'why',
  way: 'how',
  ways: 'how',
  method: 'how',
  steps: 'how',
  process: 'how',
  procedure: 'how',
  number: 'how many',
  amount: 'how much',
  person: 'who',
  place: 'where',
  location: 'where',
  ...Object.fromEntries(Object.values(MEASURED).map((what) => [what, `how ${what}`])),
};
const LINKS = new Set(
  'is are was were the a an best easiest simplest right correct main there for to do does did s of in this'.split(' '),
);
const POLAR: readonly (readonly [string, ReadonlySet<string>])[] = [
  ['polar', new Set('is are was were am do does did has have had will would isn aren doesn don'.split(' '))],
  ['polar can', new Set('can could may might'.split(' '))],
  ['polar should', new Set('should must shall ought'.split(' '))],
];
const EXPLAINING = new Set('explain describe define what erkläre beschreibe explique décris explica describe spiega'.split(' '));

/** @param words in lower case; empty for what is no word */
export function questionOf(words: readonly string[]): Question {
  const first = bare(words.find((word) => word !== '') ?? '');
  for (let at = 0; at < Math.min(words.length, WITHIN_WORDS); at++) {
    const kind = ASKING.get(bare(words[at] as string));
    if (kind && !(at > 0 && POLAR.some(([, verbs]) => verbs.has(first)))) return refined(kind, words, at);
  }
  const polar = POLAR.find(([, verbs]) => verbs.has(first));
  if (polar) return { kind: polar[0], consumed: new Set() };
  return { kind: EXPLAINING.has(first) ? 'what' : 'order', consumed: new Set() };
}

const bare = (word: string) => word.replace(/'.*$/, '');

function refined(kind: string, words: readonly string[], at: number): Question {
  const next = words[at + 1] ?? '';
  if (kind === 'how' && MEASURES.has(next)) {
    const measured = MEASURED[next];
    return { kind: measured ? `how ${measured}` : `how ${next}`, consumed: new Set([at, at + 1]) };
  }
  if (kind === 'how' && next === 'come') return { kind: 'why', consumed: new Set([at, at + 1]) };
  if (kind !== 'what') return { kind, consumed: new Set([at]) };
  let end = at + 1;
  while (end < words.length && LINKS.has(bare(words[end] as string))) end++;
  // "What can I do to" asks how.
  if (words[end] !== undefined && ['can', 'could', 'should', 'must'].includes(words[at + 1] ?? '') && words[at + 3] === 'do') {
    return { kind: 'how', consumed: new Set([at]) };
  }
  const asked = ASKED_FOR[words[end] ?? ''];
  return asked
    ? { kind: asked, consumed: new Set(words.slice(at, end + 1).map((_word, i) => at + i)) }
    : { kind, consumed: new Set([at]) };
}
