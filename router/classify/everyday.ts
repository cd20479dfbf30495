/**
 * Whether a prompt is of the kind that examinations, which the tiers were measured by, do not ask: small talk, letters,
 * rewording, and short plain questions. Pure.
 *
 * Stories are not among them: there are models made for those, and what is given here to all would be taken from them.
 *
 * What a small model loses there is less than it loses in an examination, where one wrong step makes the answer wrong.
 */
import type { Complexity, Task } from './classification.ts';

const OPEN_TASKS: ReadonlySet<Task> = new Set(['chat', 'rewriting', 'translation', 'summary', 'extraction', 'classification']);
/** In UTF-16 units. A question that sets out a case is longer. */
const LONGEST_QUESTION = 120;

export function isEveryday(text: string, task: Task, complexity: Complexity): boolean {
  if (complexity !== 'simple') return false;
  return OPEN_TASKS.has(task) || (task === 'question' && text.length <= LONGEST_QUESTION && !text.includes('\n'));
}
