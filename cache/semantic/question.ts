/** What kind of answer a prompt asks for. Pure. */

export interface Question {
  /** One of who, what, when, where, why, how, "how many" and its like, which of the polar ones, or order. */
  readonly kind: string;
  /** Places of words that the kind stands for, so that "in which year" and "when" leave nothing over. */
  readonly consumed: ReadonlySet<number>;
  /** What else is asked: "who said what". */
  readonly further: readonly string[];
}

const KINDS = ['who', 'whom', 'what', 'when', 'where', 'why', 'how', 'how many'];
/** By language, a list for each kind in their order. */
const ASKING: Readonly<Record<string, ReadonlyMap<string, string>>> = Object.fromEntries(
  Object.entries({
    en: 'who whose | whom | what which | when | where | why | how | ',
    de: 'wer | wen wem | was welche welcher welches | wann | wo | warum wieso weshalb | wie | wieviel wieviele',
    fr: 'qui | | quoi que quel quelle quels quelles | quand | où | pourquoi | comment | combien',
    es: 'quién quiénes | | qué cuál cuáles | cuándo | dónde | | cómo | cuántos cuántas cuánto cuánta',
    it: 'chi | | che cosa quale quali | quando | dove | perché | come | quanti quante quanto quanta',
    pt: 'quem | | que qual quais | quando | onde | porquê | como | quantos quantas quanto quanta',
    nl: 'wie | | wat welke | wanneer | waar | waarom | hoe | hoeveel',
    ru: 'кто | кого кому | что какой какая какие | когда | где | почему зачем | как | сколько',
  }).map(([language, lists]) => {
    const kinds = lists.split('|').map((words) => words.trim().split(' '));
    return [language, new Map(kinds.flatMap((words, kind) => words.map((word) => [word, KINDS[kind] as string] as const)))];
  }),
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

/**
 * @param words in lower case; empty for what is no word
 * @param language ISO 639-1, or und, which counts as English
 */
export function questionOf(words: readonly string[], language: string): Question {
  const first = bare(words.find((word) => word !== '') ?? '');
  const polar = POLAR.find(([, verbs]) => verbs.has(first));
  const known = ASKING[language === 'und' ? 'en' : language];
  const asking = words.map((word) => (word === '' ? undefined : known?.get(bare(word))));
  const place = asking.slice(0, WITHIN_WORDS).findIndex((kind) => kind !== undefined);
  const further = asking.filter((kind, at) => kind !== undefined && at !== place) as string[];
  if (place === 0 || (place > 0 && !polar)) return { ...refined(asking[place] as string, words, place), further };
  const kind = polar ? polar[0] : EXPLAINING.has(first) ? 'what' : 'order';
  return { kind, consumed: new Set(), further: place < 0 ? further : [asking[place] as string, ...further] };
}

const bare = (word: string) => word.replace(/'.*$/, '');

function refined(kind: string, words: readonly string[], at: number): Omit<Question, 'further'> {
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
