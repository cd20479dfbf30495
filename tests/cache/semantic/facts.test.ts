import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Disagreement } from '../../../cache/semantic/agree.ts';
import { disagreement, sketchOf } from '../../../cache/semantic/agree.ts';
import { factsOf } from '../../../cache/semantic/facts.ts';
import { normalised } from '../../../cache/semantic/normalise.ts';
import { numberOf } from '../../../cache/semantic/number-of.ts';
import { stemmed } from '../../../cache/semantic/stem.ts';
import { numberInWords } from '../../../cache/semantic/words/numbers.ts';
import { languageOf } from '../../../router/classify/language.ts';
import { APART, FREE_NEAR, LIMITS, NEAR, SAME, TRAPS } from './pairs.ts';

/** 'nothing' where one of them is not to be compared at all. */
function between(a: string, b: string, language?: string): Disagreement | 'nothing' | undefined {
  const sketches = [a, b].map((text) => {
    const bare = normalised(text);
    const facts = bare === undefined ? undefined : factsOf(bare, language ?? languageOf(text));
    return facts && sketchOf(facts, (word) => word);
  });
  const [first, second] = sketches;
  return first && second ? disagreement(first, second) : 'nothing';
}

describe('the facts of two prompts', () => {
  test.each([...NEAR, ...FREE_NEAR, ...TRAPS, ...APART])('differ between "%s" and "%s"', (a, b) => {
    expect(between(a, b)).toBeDefined();
    expect(between(b, a)).toBeDefined();
  });

  test('do not show every difference there is', () => {
    expect(LIMITS.map(([a, b]) => between(a, b))).toEqual(LIMITS.map(() => undefined));
  });

  test('are the same for at least 9 of 10 pairs that ask the same in other words', () => {
    const agreed = SAME.filter(([a, b]) => between(a, b) === undefined);
    expect(agreed.length / SAME.length).toBeGreaterThanOrEqual(0.9);
  });

  test('are those of a prompt itself, whichever of two comes first', () => {
    for (const [a, b] of [...SAME, ...NEAR, ...TRAPS, ...APART]) {
      expect([undefined, 'nothing']).toContain(between(a, a));
      expect(between(a, b) === undefined).toBe(between(b, a) === undefined);
    }
  });

  test.each<[string, string, string]>([
    ['exact', 'What is 15% of 240?', 'What is 16% of 240?'],
    ['exact', 'Is $5 enough for lunch?', 'Is €5 enough for lunch?'],
    ['exact', 'What does "cat" mean?', 'What does "dog" mean?'],
    ['exact', 'What is in /etc/hosts/allow?', 'What is in /etc/hosts/deny?'],
    ['exact', 'Who is followed by Anna?', 'Who followed Anna?'],
    ['name', 'What is the capital of Austria?', 'What is the capital of Australia?'],
    ['name', 'How many grams are in 3 eggs?', 'How many grams are in 3 apples?'],
    ['negation', 'Which birds can fly?', "Which birds can't fly?"],
    ['opposite', 'What is the highest mountain?', 'What is the lowest mountain?'],
    ['tense', 'Who is the president of France?', 'Who was the president of France?'],
    ['owner', 'Where is my office?', 'Where is your office?'],
    ['question', 'Where do bees live?', 'How do bees live?'],
    ['role', 'A letter to Anna', 'A letter from Anna'],
    ['role', 'Flights from Rome to Oslo', 'Flights from Oslo to Rome'],
    ['role', 'Who is the wife of my mother?', "Who is my wife's mother?"],
    ['order', 'Do cats eat mice?', 'Do mice eat cats?'],
    ['words', 'How do I cook rice?', 'How do I cook pasta?'],
  ])('differ in a %s: %s %s', (why, a, b) => {
    expect(between(a, b, 'en')).toBe(why);
  });

  test('differ in languages that both are known, and not where one is not', () => {
    expect(between('Wer ist Goethe?', 'Wer ist Goethe?', 'de')).toBeUndefined();
    const [german, english, unsure] = ['de', 'en', 'und'].map((language) => {
      return sketchOf(factsOf('Goethe Faust', language)!, (word) => word);
    });
    expect(disagreement(german!, english!)).toBe('language');
    expect(disagreement(german!, unsure!)).toBeUndefined();
  });

  const name = fc.constantFrom('Rome', 'Oslo', 'Lima', 'Cairo', 'Perth', 'Delhi', 'Quito', 'Hanoi');
  const frame = fc.constantFrom(
    (a: string, b: string) => `What is the fastest train from ${a} to ${b}?`,
    (a: string, b: string) => `Is ${a} larger than ${b}?`,
    (a: string, b: string) => `Did ${a} sell its airport to ${b}?`,
    (a: string, b: string) => `Send ${a} the report about ${b}`,
    (a: string, b: string) => `Why did ${a} invade ${b}?`,
    (a: string, b: string) => `Translate the history of ${a} for readers in ${b}`,
  );

  test('differ when two names change places, or one is another', () => {
    fc.assert(
      fc.property(frame, fc.uniqueArray(name, { minLength: 3, maxLength: 3 }), (write, [a, b, c]) => {
        expect(between(write(a!, b!), write(b!, a!), 'en')).toBeDefined();
        expect(between(write(a!, b!), write(a!, c!), 'en')).toBeDefined();
        expect(between(write(a!, b!), write(a!, b!).toLowerCase(), 'en')).toBeUndefined();
      }),
    );
  });

  test('differ when a number is another, however it is written', () => {
    fc.assert(
      fc.property(fc.nat(10_000_000), fc.nat(10_000_000), (a, b) => {
        const ask = (written: string) => `What are the divisors of ${written}?`;
        expect(between(ask(String(a)), ask(a.toLocaleString('en')), 'en')).toBeUndefined();
        expect(between(ask(String(a)), ask(b.toLocaleString('en')), 'en') === undefined).toBe(a === b);
      }),
    );
  });

  test('tell nothing once they are hashed', () => {
    const facts = factsOf('How do I wire 4200 dollars from "Canary" to Zanzibar?', 'en')!;
    const sketch = JSON.stringify(sketchOf(facts, (text) => String(text.length % 7)));
    expect(sketch).not.toMatch(/wire|4200|canary|zanzibar|dollar|how|from/i);
  });

  test('of any text at all are had without an error', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 700 }),
        fc.constantFrom('en', 'de', 'fr', 'zh', 'tr', 'und'),
        (text, language) => {
          const bare = normalised(text);
          const facts = bare === undefined ? undefined : factsOf(bare, language);
          if (facts) expect(disagreement(sketchOf(facts, String), sketchOf(facts, String))).toBeUndefined();
        },
      ),
    );
  });
});

describe('a prompt as it is compared', () => {
  test.each([
    ['Hello, could you please tell me what a mutex is? Thanks!', 'what a mutex is?'],
    ['  What\u00a0is  a mutex?\u200b ', 'What is a mutex?'],
    ['Ｗｈａｔ is a mutex?', 'What is a mutex?'],
    ['Please', 'Please'],
  ])('%s', (text, bare) => {
    expect(normalised(text)).toBe(bare);
  });

  test.each([
    ['nothing', ' \n '],
    ['too long', 'a '.repeat(301)],
    ['code', 'Fix ```x = 1```'],
    ['lines', 'a\nb\nc\nd'],
  ])('is none where it is %s', (_why, text) => {
    expect(normalised(text)).toBeUndefined();
  });
});

describe('numbers', () => {
  test.each([
    ['1,000.50', 'en', '1000.5'],
    ['1.000,50', 'de', '1000.5'],
    ['3,5', 'de', '3.5'],
    ['3.5', 'en', '3.5'],
    ['1.000', 'en', '1'],
    ['1.000', 'de', '1000'],
    ["1'000", 'de', '1000'],
    ['1 000', 'fr', '1000'],
    ['-007', 'en', '-7'],
    ['٣٤', 'ar', '34'],
    ['12:30', 'en', '12:30'],
    ['2024-03', 'en', '2024-03'],
  ])('%s in %s is %s', (figures, language, form) => {
    expect(numberOf(figures, language)).toBe(form);
  });

  test.each([
    ['two hundred and five apples', 'en', 205],
    ['twenty one', 'en', 21],
    ['three million two thousand', 'en', 3_002_000],
    ['fünfundzwanzig', 'de', 25],
    ['quinze', 'fr', 15],
    ['veinte', 'es', 20],
    ['двадцать', 'ru', 20],
  ])('%s in %s is %i', (words, language, value) => {
    expect(numberInWords(words.split(' '), 0, language)?.value).toBe(value);
  });

  test('are none in "which one" and "a second"', () => {
    expect(numberInWords(['which', 'one'], 1, 'en')).toBeUndefined();
    expect(numberInWords(['per', 'second'], 1, 'en')).toBeUndefined();
  });
});

describe('a stem', () => {
  test.each([
    ['making', 'make'],
    ['hopping', 'hop'],
    ['hoping', 'hope'],
    ['sorted', 'sort'],
    ['countries', 'country'],
    ['boxes', 'box'],
  ])('of %s is that of %s', (form, base) => {
    expect(stemmed(form)).toBe(stemmed(base));
  });

  test.each([
    ['plan', 'plane'],
    ['universe', 'university'],
    ['general', 'generate'],
    ['car', 'care'],
    ['glass', 'glas'],
  ])('of %s is not that of %s', (a, b) => {
    expect(stemmed(a)).not.toBe(stemmed(b));
  });
});
