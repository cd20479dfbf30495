import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Role } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Prompt } from '../../../router/classify/classification.ts';
import { basisOf, MOST_BASIS_UNITS } from '../../../router/classify/conversation.ts';
import { EVERYDAY } from './everyday.ts';

const user = (text: string) => ({ role: Role.ROLE_USER, text });
const assistant = (text: string) => ({ role: Role.ROLE_ASSISTANT, text });
const FIRST = 'Write a Python function that finds the shortest path in a weighted graph with negative edges.';
const inConversation = (text: string): Prompt => ({ messages: [user(FIRST), assistant('Here it is: …'), user(text)] });

const FOLLOW_UPS = [
  'commit it',
  'can you add type hints?',
  'what else?',
  'use tabs instead',
  'give me 3 more',
  'could you remove the comments?',
  'no, in Spanish',
  'hazlo más corto',
  '請用英文',
  '短一点',
  'and in French?',
  'And in Rust?',
  'shorter please',
  'why?',
  'Why is that?',
  'continue',
  'go on',
  'now do the same for the second one',
  'yes',
  'ok, go ahead',
  'make it shorter',
  'add tests',
  'explain the second step',
  'with more examples',
  'as a table',
  'in Rust',
  'what about negative numbers?',
  "I don't understand",
  'are you sure?',
  'Can you explain that in simpler terms?',
  'translate it to German',
  'fix the error',
  'is that correct?',
  'thanks, now commit it',
  'How does it work?',
  'und auf Deutsch?',
  'kürzer bitte',
  'Warum?',
  'mach weiter',
  'Kannst du das nochmal erklären?',
  'et en espagnol ?',
  'plus court, s’il te plaît',
  'Pourquoi ?',
  'fais la même chose pour la deuxième',
  'y en inglés?',
  'tradúcelo',
  '¿por qué?',
  'más corto por favor',
  'e in francese?',
  'riassumilo',
  'perché?',
  'e em inglês?',
  'faça isso',
  'а на русском?',
  'почему?',
  '继续',
  '为什么？',
  'もっと短く',
  '계속',
];

const FRESH = [
  'What is the capital of France?',
  'Tell me a story about a small dragon.',
  'How many legs does a spider have?',
  'Prove that the square root of 2 is irrational.',
  'Write a function that sorts a list of numbers.',
  'Is it legal to own a tiger in Texas?',
  'What time is it in Tokyo?',
  'Who wrote Hamlet?',
  'Convert 5 miles to kilometres',
  'Translate "good morning" into Italian.',
  'Summarise this: The meeting was moved to Monday because two people are ill.',
  'Thanks!',
  'great, thanks a lot',
  'Hello',
  'Now write a short essay about the causes of the French revolution.',
  'What is the first law of thermodynamics?',
  'Explain how vaccines work',
  'How do I fix this error: TypeError: x is not a function',
  'Was ist die Hauptstadt von Österreich?',
  'Schreibe ein Gedicht über den Herbst.',
  'Gibt es Leben auf dem Mars?',
  'Danke schön!',
  'Quelle est la capitale du Portugal ?',
  'Écris une lettre de motivation pour un poste de comptable.',
  '¿Cuál es la capital de Perú?',
  'Escribe una función que invierta una cadena de texto.',
  'Qual è il fiume più lungo d’Italia?',
  'Escreva uma carta para o meu senhorio.',
  'Какая столица у Франции?',
  '法国的首都是哪里？',
  'フランスの首都はどこですか？',
  '프랑스의 수도는 어디입니까?',
];

describe('a turn that leans on the conversation', () => {
  it.each(FOLLOW_UPS)('counts with what it follows: %s', (text) => {
    expect(basisOf(inConversation(text))).toEqual({ text: `${FIRST}\n\n${text}`, followUp: true });
  });

  it.each([...FRESH, ...new Set(EVERYDAY)])('is not one that stands by itself: %s', (text) => {
    expect(basisOf(inConversation(text))).toEqual({ text, followUp: false });
  });

  it('reaches back over others that lean', () => {
    const messages = [user('hi'), user(FIRST), assistant('…'), user('shorter please'), assistant('…'), user('and in Rust?')];
    expect(basisOf({ messages }).text).toBe(`${FIRST}\n\nand in Rust?`);
  });

  it('takes the first turn where none stands by itself', () => {
    expect(basisOf({ messages: [user('continue'), user('go on')] })).toEqual({ text: 'continue\n\ngo on', followUp: true });
  });

  it('may lean on a long document', () => {
    const document = 'The tenant shall pay the rent in advance. '.repeat(2000);
    const { text, followUp } = basisOf({
      messages: [user(document), assistant('I have read it.'), user('summarise the contract')],
    });
    expect(followUp).toBe(true);
    expect(text.startsWith('The tenant shall')).toBe(true);
    expect(text.endsWith('\n\nsummarise the contract')).toBe(true);
    expect(text.length).toBe(MOST_BASIS_UNITS);
  });

  it('is not one below a document of its own', () => {
    const text = `${'The tenant shall pay the rent in advance. '.repeat(2000)}\n\nsummarise it`;
    const basis = basisOf(inConversation(text));
    expect(basis.followUp).toBe(false);
    expect(basis.text.length).toBe(MOST_BASIS_UNITS);
    expect(basis.text.endsWith('summarise it')).toBe(true);
  });

  it('is not what the assistant or the system said', () => {
    const messages = [{ role: Role.ROLE_SYSTEM, text: FIRST }, assistant('Hello! What can I do?'), user('continue')];
    expect(basisOf({ messages })).toEqual({ text: 'continue', followUp: false });
  });
});

describe('whatever the conversation', () => {
  const role = fc.constantFrom(Role.ROLE_SYSTEM, Role.ROLE_USER, Role.ROLE_ASSISTANT);
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.constantFrom(...FOLLOW_UPS, ...FRESH, 'x'.repeat(50_000), ' '.repeat(50_000), ''),
  );
  const messages = fc.array(fc.record({ role, text }), { maxLength: 8 });

  it('the basis is bounded and ends as the last turn does', () => {
    fc.assert(
      fc.property(messages, (messages) => {
        const basis = basisOf({ messages });
        const last = messages.findLast((message) => message.role === Role.ROLE_USER && message.text !== '')?.text ?? '';
        expect(basis.text.length).toBeLessThanOrEqual(MOST_BASIS_UNITS);
        expect(basis.text.endsWith(last.slice(-1000))).toBe(true);
      }),
    );
  });

  it('a single turn is never a follow-up', () => {
    fc.assert(
      fc.property(messages, text, (before, text) => {
        const silent = before.filter((message) => message.role !== Role.ROLE_USER);
        expect(basisOf({ messages: [...silent, user(text)] }).followUp).toBe(false);
      }),
    );
  });
});
