/**
 * What a prompt asks for, by plain rules on its last user turn. Pure.
 *
 * Stories are told apart because a small model can write them and nothing else; everything else is chat.
 */
import type { Message } from '../../proto/gen/infermesh/v1/types.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';

export type Task = 'story' | 'chat';

const STORY = /\b(?:tell|write|make up|invent|give|read)\b[^.?!]{0,40}\b(?:story|tale|fairy ?tale|bedtime story)\b/i;
const OPENING = /^\s*(?:once upon a time|one day,?\s|there (?:once )?(?:was|lived) an? )/i;
/** A question about stories is not a wish for one. */
const QUESTION = /^\s*(?:what|who|when|where|why|which|how|is|are|does|do|did)\b/i;

export function taskOf(messages: readonly Message[]): Task {
  const last = messages.findLast(({ role }) => role === Role.ROLE_USER)?.text ?? '';
  // A wish is said at the beginning; the rest may be pages of context.
  const head = last.slice(0, 400);
  if (OPENING.test(head)) return 'story';
  return STORY.test(head) && !QUESTION.test(head) ? 'story' : 'chat';
}
