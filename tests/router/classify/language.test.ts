import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { languageOf } from '../../../router/classify/language.ts';

const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  en: [
    'What is the capital of France?',
    'Write a function that sorts a list of numbers.',
    'thanks for the help',
    'Translate "où est la gare" for me, and explain what each of the words means.',
  ],
  de: [
    'und auf Deutsch?',
    'Schreibe mir ein Gedicht über den Herbst.',
    'Was ist die Hauptstadt von Frankreich?',
    'Kürzer bitte, ohne Beispiele',
  ],
  fr: ["Quelle est la capitale de l'Allemagne ?", 'Écris une lettre pour ma grand-mère.', 'et pourquoi pas ?'],
  es: ['¿Cuál es la capital de Francia?', 'Escribe un cuento para los niños.', 'continúa por favor'],
  it: ['Qual è la capitale della Francia?', 'Scrivi una poesia sul mare e sulla luna.'],
  pt: ['Qual é a capital da França?', 'Escreva uma carta para o meu chefe.', 'e por que não?'],
  nl: ['Wat is de hoofdstad van Frankrijk?', 'Schrijf een gedicht over het weer.'],
  sv: ['Vad är huvudstaden i Frankrike?', 'Skriv en dikt om havet och hösten.'],
  da: ['Hvad hedder hovedstaden i Frankrig, og hvorfor ligger den ikke ved havet?'],
  no: ['Hva er hovedstaden i Frankrike, og hvorfor ligger den ikke ved havet?'],
  fi: ['Mikä on Ranskan pääkaupunki?', 'Kirjoita runo, joka kertoo syksystä.'],
  pl: ['Jaka jest stolica Francji?', 'Napisz wiersz o jesieni.'],
  cs: ['Jaké je hlavní město Francie?', 'Napiš prosím báseň o podzimu.'],
  hu: ['Mi Franciaország fővárosa?', 'Írj egy verset az őszről.'],
  ro: ['Care este capitala Franței?', 'Scrie o poezie despre toamnă și ploaie.'],
  tr: ["Fransa'nın başkenti neresidir?", 'Sonbahar için bir şiir yaz lütfen.'],
  id: ['Apa ibu kota dari negara ini?', 'Tolong tulis puisi untuk saya.'],
  vi: ['Thủ đô của nước Pháp là gì?'],
  ru: ['Какая столица у Франции?'],
  uk: ['Яка столиця Франції?'],
  bg: ['Коя е столицата на България? Искам къщата.'],
  el: ['Ποια είναι η πρωτεύουσα της Γαλλίας;'],
  he: ['מהי בירת צרפת?'],
  ar: ['ما هي عاصمة فرنسا؟'],
  fa: ['پایتخت فرانسه چیست؟'],
  hi: ['फ्रांस की राजधानी क्या है?'],
  th: ['เมืองหลวงของฝรั่งเศสคืออะไร'],
  ja: ['フランスの首都はどこですか', '日本国憲法第九条の要約を書け'],
  zh: ['法国的首都是哪里？', '请把这段话翻译成英文 (JSON)'],
  ko: ['프랑스의 수도는 어디입니까?'],
};

describe('the language of a text', () => {
  it.each(Object.entries(EXAMPLES).flatMap(([wanted, texts]) => texts.map((text) => [wanted, text] as const)))(
    'is %s: %s',
    (wanted, text) => expect(languageOf(text)).toBe(wanted),
  );

  it.each(['', '   ', '42', '2+2=?', '{"a":1,"b":[1,2]}', 'xyzzy plugh', '🐉🌧️', 'SELECT 1;'])('is unsure: %s', (text) =>
    expect(languageOf(text)).toBe('und'),
  );

  it('is that of the wish around a long document', () => {
    const document = '0123456789 '.repeat(100_000);
    expect(languageOf(`Fasse bitte die Zahlen zusammen: ${document}`)).toBe('de');
    expect(languageOf(`${document} Résume les chiffres pour mon chef`)).toBe('fr');
  });

  it('is always named by two letters, or und', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 2000 }), (text) => {
        expect(languageOf(text)).toMatch(/^(?:[a-z]{2}|und)$/);
      }),
    );
  });
});
