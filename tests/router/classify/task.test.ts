import { describe, expect, it } from 'vitest';
import { Role } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Task } from '../../../router/classify/classification.ts';
import { TASKS } from '../../../router/classify/classification.ts';
import { taskOf, usualTokens } from '../../../router/classify/task.ts';

const user = (text: string) => ({ role: Role.ROLE_USER, text });
const task = (text: string, jsonSchema = '') => taskOf({ messages: [user(text)], jsonSchema });

const EXAMPLES: Readonly<Record<Task, readonly string[]>> = {
  story: [
    'tell me a story about a small dragon',
    'Please write a short fairy tale for my son.',
    'make up a bedtime story',
    'Once upon a time, there was a',
    'One day, a girl named Lily',
    'There was a little fox',
    'Erzähle mir eine Geschichte über einen Drachen.',
    'Raconte-moi une histoire de pirates',
    'Cuéntame un cuento sobre un gato',
    'Raccontami una storia di draghi',
    'Conte uma história sobre o mar',
  ],
  question: [
    'what is the capital of France?',
    'What is the story of Rome?',
    'How do I write a story for a newspaper?',
    'What does "translate" mean?',
    'Wie heißt die Hauptstadt von Peru?',
    'Pourquoi le ciel est-il bleu ?',
    '¿Dónde está Quito?',
    'Dove si trova Bologna?',
    'Qual é a capital do Brasil?',
    'フランスの首都はどこですか？',
  ],
  chat: [
    'tell me about history',
    '',
    'the user story in this ticket',
    'Hello there',
    'I feel tired today.',
    'Write an email to my landlord.',
  ],
  choice: [
    'Which gas do plants take in?\nA. Oxygen\nB. Carbon dioxide\nC. Helium\nD. Neon\nAnswer:',
    'What is 2 + 2?\nA) 3\nB) 4',
    'Pick: (a) red (b) green (c) blue',
    `${'A long passage about rivers. '.repeat(100)}\nA. Nile\nB. Rhine`,
    'Choose the correct answer: the heart is a muscle or a gland.',
  ],
  code: [
    'Write a function to sort a dictionary by value.',
    'Fix this code:\n```js\nfoo(\n```',
    'def below(l, t):\n    """Return True if all numbers in the list are below t."""',
    'Translate this Python function to Rust: def f(x): return x',
    'Schreibe eine Funktion, die eine Liste sortiert.',
    'Écris un script bash qui renomme des fichiers',
    'Escribe una función que invierta una cadena',
    'How do I read a file in Python?',
    'Traceback (most recent call last): KeyError',
    'Refactor the payment module.',
  ],
  maths: [
    'what is 2 + 2?',
    'Janey has 3 more than twice the number of books that Sally has. If Janey has 21, how many does Sally have?',
    'Find all real $x$ with $x^2 = 5$.',
    'Compute \\frac{1}{2} of 17',
    'Prove that the square root of 2 is irrational.',
    'Berechne den Flächeninhalt eines Kreises mit Radius 3 und eines Quadrats mit Seite 4.',
    'Si 3 manzanas cuestan 6 euros, ¿cuánto cuestan 5?',
  ],
  reasoning: [
    'Compare the trade-offs of monoliths and services for a bank.',
    'Think carefully: all cats fear water; Tom fears nothing.',
    'Analyse the causes of the first world war.',
    'What would happen if the moon disappeared',
  ],
  extraction: [
    'Extract all dates from the text: The fair opens on 3 May.',
    'List every person mentioned in the article below.',
    `${'The tenant pays in advance. '.repeat(100)}\n\nPlease extract the names of both parties.`,
    'Extrahiere alle Namen aus dem Text.',
    'Give the invoice number and total as JSON.',
  ],
  summary: [
    'summarise this report',
    `Here is the article. ${'Rivers rise in spring. '.repeat(200)} Please summarize it in three sentences.`,
    'Write a summary of the meeting.',
    'TL;DR of the above',
    'Fasse den folgenden Text zusammen: …',
    'Kannst du das bitte zusammenfassen?',
    'Résume le texte suivant',
    'Resume el texto siguiente',
    'Riassumi il testo',
    'Resuma o texto abaixo',
  ],
  translation: [
    'Translate "good morning" into Italian.',
    'How do you say cat in Spanish?',
    'Kannst du das ins Englische übersetzen?',
    'Traduis cette phrase en anglais',
    'Traduce esto al inglés',
    'Traduci in inglese: buongiorno',
    'Traduza para o inglês: bom dia',
  ],
  classification: [
    'Classify the review as positive or negative: I loved it.',
    'Is this review positive or negative? "Awful."',
    'Label each ticket with its department.',
    'What is the sentiment of this tweet?',
  ],
  rewriting: [
    'Rewrite this paragraph in plain English.',
    'Please proofread my letter: Dear Sir',
    'Make it more formal',
    'Fix the grammar: he go home',
    'Formuliere den Absatz um.',
    'Corrige le texte suivant',
  ],
};

describe('the task of a prompt', () => {
  it.each(TASKS.flatMap((wanted) => EXAMPLES[wanted].map((text) => [wanted, text] as const)))('is %s: %s', (wanted, text) =>
    expect(task(text)).toBe(wanted),
  );

  it('is that of the last thing the user said', () => {
    const messages = [
      user('tell me a story'),
      { role: Role.ROLE_ASSISTANT, text: 'Once upon a time' },
      user('what is the capital of France?'),
    ];
    expect(taskOf({ messages })).toBe('question');
  });

  it.each([
    ['go on', 'code'],
    ['now do the same for the second one', 'code'],
    ['and in French?', 'translation'],
    ['shorter please', 'rewriting'],
  ])('of "%s" after a wish for code is %s', (text, wanted) => {
    const messages = [user('Write a function to sort a list.'), { role: Role.ROLE_ASSISTANT, text: '…' }, user(text)];
    expect(taskOf({ messages })).toBe(wanted);
  });

  it('is extraction where a form is given and nothing else is said', () => {
    expect(task('Dear Sir, I ordered a lamp on 3 May and it is broken.', '{"type":"object"}')).toBe('extraction');
    expect(task('Classify the review: I loved it.', '{"type":"object"}')).toBe('classification');
    expect(task('tell me a story', '{"type":"object"}')).toBe('story');
  });

  it('looks at no more of a megabyte than its head and tail', () => {
    const middle = '\nTranslate this into French.\n'.repeat(30_000);
    expect(task(`Dear all, ${'x '.repeat(300)}${middle}${'y '.repeat(300)}`)).toBe('chat');
  });

  it.each([
    'tell me a '.repeat(100_000),
    `tell ${' me'.repeat(300_000)}`,
    ' '.repeat(1_000_000),
    '$'.repeat(1_000_000),
    '$='.repeat(500_000),
    'select '.repeat(140_000),
    'fasse '.repeat(160_000),
    '1 1 1,'.repeat(160_000),
    'list all '.repeat(110_000),
    'and please now '.repeat(70_000),
    '(a) '.repeat(250_000),
    'un una '.repeat(140_000),
  ])('is found however odd the prompt is', (text) => expect(TASKS).toContain(task(text)));

  it('tells how long an answer usually is', () => {
    for (const each of TASKS) expect(usualTokens(each)).toBeGreaterThan(0);
    expect(usualTokens('classification')).toBeLessThan(usualTokens('code'));
  });
});
