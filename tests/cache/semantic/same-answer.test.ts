import { describe, expect, test } from 'vitest';
import { saysTheSame } from '../../../cache/semantic/same-answer.ts';

const LONG =
  'Photosynthesis is how plants make sugar from light. Chlorophyll in their leaves takes up sunlight, and with its energy water and carbon dioxide become glucose and oxygen.';

describe('two answers say the same', () => {
  test.each([
    ['Paris', 'The capital of France is Paris.'],
    ['Yes.', 'Yes, it is safe to eat.'],
    ['It takes 3 hours.', 'About three hours, it takes.'],
    ['1,000', '1000'],
    [LONG, LONG],
    [
      LONG,
      'Plants take up sunlight with chlorophyll in their leaves; the energy makes glucose and oxygen out of water and carbon dioxide.',
    ],
    ['Berlin ist die Hauptstadt.', 'Die Hauptstadt ist Berlin.'],
  ])('%s | %s', (a, b) => {
    expect(saysTheSame(a, b, /Haupt/.test(a) ? 'de' : 'en')).toBe(true);
    expect(saysTheSame(b, a, /Haupt/.test(a) ? 'de' : 'en')).toBe(true);
  });
});

describe('two answers say something else', () => {
  test.each([
    ['The capital is Paris.', 'The capital is Lyon.'],
    ['Yes, it is safe.', 'No, it is not safe.'],
    ['It takes 3 hours.', 'It takes 5 hours.'],
    ['', 'Paris'],
    [
      LONG,
      'A mutex is a lock that only one thread can hold at a time, and others wait until it is free again before they go on.',
    ],
    ['Alexander Fleming discovered it in 1928.', 'Marie Curie discovered it in 1898.'],
    [
      `${LONG} It gives 38 molecules.`,
      'In 1492 Columbus sailed with 3 ships and about 90 men from Palos to the Bahamas, and came back in 1493.',
    ],
  ])('%s | %s', (a, b) => {
    expect(saysTheSame(a, b, 'en')).toBe(false);
    expect(saysTheSame(b, a, 'en')).toBe(false);
  });
});
