/**
 * What a prompt wants done, by rules on its last user turn. Pure.
 *
 * A wish is said at the beginning or at the end, with pages of context between, so only a bounded head and tail are
 * read. The rules themselves stand in wishes.ts and signs.ts.
 */
import type { Prompt, Task } from './classification.ts';
import { turnsOf } from './conversation.ts';
import { plain } from './plain.ts';
import {
  CHOICE_ORDER,
  CODE_OBJECT,
  CODE_SIGNS,
  FORM_SIGNS,
  MATHS_QUESTION,
  MATHS_SIGNS,
  NUMBERS,
  OBJECTS,
  OPTION_INLINE,
  OPTION_LINE,
  QUESTION_SIGNS,
  REASONING_SIGNS,
  STORY_OPENING,
} from './signs.ts';
import { lateWish, wishes } from './wishes.ts';

/** UTF-16 units read of a turn. */
const HEAD_UNITS = 500;
const TAIL_UNITS = 300;
const OPENING_UNITS = 80;
/** How far from its verb the thing may stand that is to be made. */
const OBJECT_UNITS = 60;

/** Choice and maths are near the medians that several models needed on public questions; the others are assumptions. */
const USUAL_TOKENS: Readonly<Record<Task, number>> = {
  chat: 200,
  question: 150,
  choice: 80,
  code: 350,
  maths: 180,
  reasoning: 400,
  extraction: 120,
  summary: 180,
  translation: 150,
  classification: 20,
  rewriting: 200,
  story: 400,
};

/** How long an answer usually is, in tokens, before any bound on it. */
export function usualTokens(task: Task): number {
  return USUAL_TOKENS[task];
}

/** A follow-up that names no task ("go on", "the other one too") goes on with the one it follows. */
export function taskOf(prompt: Prompt): Task {
  const { last, leansOn } = turnsOf(prompt);
  const own = taskOfText(last, prompt.jsonSchema);
  return own === 'chat' && leansOn !== undefined ? taskOfText(leansOn, prompt.jsonSchema) : own;
}

function taskOfText(text: string, jsonSchema = ''): Task {
  const seen = outline(text);
  if (STORY_OPENING.test(seen)) return 'story';
  if (offersChoice(seen) && !ON_GIVEN_TEXT.has(wishIn(seen.slice(0, OPENING_UNITS)))) return 'choice';
  const wished = wishIn(seen);
  if (wished) return wished;
  if (CODE_SIGNS.test(seen)) return 'code';
  if (isMaths(seen)) return 'maths';
  if (REASONING_SIGNS.test(seen)) return 'reasoning';
  if (jsonSchema !== '' || FORM_SIGNS.test(seen)) return 'extraction';
  return QUESTION_SIGNS.test(seen) ? 'question' : 'chat';
}

/** These may be wished, at the very beginning, of a text that itself has lines A, B, C. */
const ON_GIVEN_TEXT: ReadonlySet<Task | undefined> = new Set(['translation', 'summary', 'rewriting']);

/** Head and tail. */
function outline(text: string): string {
  const short = text.length <= HEAD_UNITS + TAIL_UNITS;
  return plain(short ? text : `${text.slice(0, HEAD_UNITS)}\n${text.slice(-TAIL_UNITS)}`).trimEnd();
}

/** The first wish that says what it wants. */
function wishIn(seen: string): Task | undefined {
  for (const { task, start, end } of wishes(seen)) {
    const said = seen.slice(start, end + OBJECT_UNITS);
    if (task === 'making') {
      const made = OBJECTS.find(([, object]) => object.test(said));
      if (made) return made[0];
    } else if (task === 'asking') {
      if (CODE_OBJECT.test(said)) return 'code';
    } else if ((task === 'translation' || task === 'rewriting') && CODE_OBJECT.test(said)) return 'code';
    else return task;
  }
  return lateWish(seen);
}

/** Two lettered lines in a row, or three letters in a line. */
function offersChoice(seen: string): boolean {
  return inARow(seen, OPTION_LINE) >= 2 || inARow(seen, OPTION_INLINE) >= 3 || CHOICE_ORDER.test(seen);
}

/** Most options that follow each other in the alphabet. */
function inARow(seen: string, option: RegExp): number {
  let most = 0;
  let row = 0;
  let before = 0;
  for (const [, letter = ''] of seen.matchAll(option)) {
    const code = letter.charCodeAt(0);
    row = code === before + 1 ? row + 1 : 1;
    before = code;
    most = Math.max(most, row);
  }
  return most;
}

function isMaths(seen: string): boolean {
  if (MATHS_SIGNS.test(seen)) return true;
  return MATHS_QUESTION.test(seen) && (seen.match(NUMBERS)?.length ?? 0) >= 2;
}
