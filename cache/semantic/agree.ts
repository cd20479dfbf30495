/**
 * Whether two prompts say the same, by keyed hashes of their facts, so that what is kept of a prompt tells nothing to
 * whom has not the tenant's key. Pure.
 */
import type { Facts } from './facts.ts';

/** The facts of a prompt, each word of them as a keyed hash. */
export interface Sketch {
  /** Empty: nobody knows, and it may be any. */
  readonly language: string;
  readonly question: string;
  /** What is denied, and what is limited, as one. */
  readonly bound: string;
  /** All of the exact ones, in their order, as one. */
  readonly exact: string;
  readonly names: readonly string[];
  /** [the choice, the side of it that was taken] */
  readonly sides: readonly (readonly [string, string])[];
  readonly tenses: string;
  readonly possessors: readonly string[];
  readonly words: readonly string[];
  readonly free: readonly string[];
  readonly roles: readonly (readonly [string, string])[];
}

/** What two prompts don't have in common. */
export type Disagreement =
  | 'language'
  | 'question'
  | 'negation'
  | 'exact'
  | 'name'
  | 'opposite'
  | 'tense'
  | 'owner'
  | 'role'
  | 'order'
  | 'words';

/** @param mac a keyed hash, equal only for what is equal */
export function sketchOf(facts: Facts, mac: (text: string) => string): Sketch {
  const of = (kind: string) => (text: string) => mac(`${kind} ${text}`);
  const word = of('word');
  return {
    language: facts.language === 'und' ? '' : of('language')(facts.language),
    question: of('question')(facts.question),
    bound: of('bound')(JSON.stringify(facts.bound)),
    exact: of('exact')(JSON.stringify(facts.exact)),
    names: facts.names.map(word),
    sides: facts.sides.map((side) => [of('choice')(side.split('.')[0] as string), of('side')(side)] as const),
    tenses: of('tenses')(facts.tenses.join()),
    possessors: facts.possessors.map(of('possessor')),
    words: facts.words.map(word),
    free: facts.free.map(word),
    roles: facts.roles.map(([part, object]) => [of('part')(part), word(object)] as const),
  };
}

/** @returns the first thing they disagree in */
export function disagreement(a: Sketch, b: Sketch): Disagreement | undefined {
  if (a.language !== '' && b.language !== '' && a.language !== b.language) return 'language';
  if (a.exact !== b.exact) return 'exact';
  if (a.bound !== b.bound) return 'negation';
  if (opposed(a.sides, b.sides)) return 'opposite';
  if (a.tenses !== b.tenses) return 'tense';
  if (!hasAll(b.words, a.names) || !hasAll(a.words, b.names)) return 'name';
  if (a.question !== b.question) return 'question';
  if (a.possessors.length > 0 && b.possessors.length > 0 && !a.possessors.some((whose) => b.possessors.includes(whose)))
    return 'owner';
  if (rolesConflict(a, b)) return 'role';
  if (!inOneOrder(a, b)) return 'order';
  return hasAll(a.words, b.words) && hasAll(b.words, a.words) ? undefined : 'words';
}

/** Both chose, and not the same. A choice that only one of them made is a word that the other has not. */
function opposed(a: Sketch['sides'], b: Sketch['sides']): boolean {
  const sidesOf = (sides: Sketch['sides'], choice: string) => sides.filter(([of]) => of === choice).map(([, side]) => side);
  return a.some(([choice]) => {
    const theirs = sidesOf(b, choice);
    const ours = sidesOf(a, choice);
    return theirs.length > 0 && !(hasAll(ours, theirs) && hasAll(theirs, ours));
  });
}

const hasAll = (words: readonly string[], some: readonly string[]) => some.every((word) => words.includes(word));

/**
 * "A letter to Anna", "a letter from Anna": one word has another part in each.
 * "From Rome to Oslo", "from Oslo to Rome": one part is another word's in each.
 * "The wife of his mother", "his wife's mother": each says of another word whose it is, or where or with what.
 */
function rolesConflict(a: Sketch, b: Sketch): boolean {
  if (!hasAll(a.free, b.free) && !hasAll(b.free, a.free)) return true;
  const objectsOf = (one: Sketch, part: string) => one.roles.filter(([of]) => of === part).map(([, object]) => object);
  const partsOf = (one: Sketch, object: string) => one.roles.filter(([, of]) => of === object).map(([part]) => part);
  return a.roles.some(([part, object]) => {
    const [ours, theirs] = [objectsOf(a, part), objectsOf(b, part)];
    const parts = partsOf(b, object);
    return !(isWithin(ours, theirs) || isWithin(theirs, ours)) || (parts.length > 0 && !parts.includes(part));
  });
}

/** All of some, in the same order, with whatever between them. */
function isWithin(some: readonly string[], all: readonly string[]): boolean {
  let at = 0;
  for (const one of all) if (one === some[at]) at++;
  return at === some.length;
}

/** Words that both have stand in one order, but for those that may stand elsewhere. */
function inOneOrder(a: Sketch, b: Sketch): boolean {
  const free = new Set([...a.free, ...b.free]);
  const shared = (one: Sketch, other: Sketch) => one.words.filter((word) => other.words.includes(word) && !free.has(word));
  const ours = [...new Set(shared(a, b))];
  const theirs = [...new Set(shared(b, a))];
  return ours.every((word, at) => word === theirs[at]);
}
