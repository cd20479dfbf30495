/**
 * Which text's complexity counts. Pure.
 *
 * "Commit it" or "and in French?" is as hard as what it is about, so a last turn that leans on the conversation takes
 * the last turn before it that stands by itself along. A self-contained question in a running conversation counts alone.
 */
import type { Message } from '../../proto/gen/infermesh/v1/types.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import type { Prompt } from './classification.ts';
import { leans } from './follow-up.ts';

/** Of a basis, in UTF-16 units; of what is longer its head and its tail are kept. */
export const MOST_BASIS_UNITS = 32_768;
/** The part of them that a tail gets: wishes below a document are short. */
const TAIL_PART = 0.25;
const BETWEEN = '\n\n';

export interface Basis {
  readonly text: string;
  /** Whether the last turn leans on an earlier one, which then stands in the text before it. */
  readonly followUp: boolean;
}

export function basisOf(prompt: Prompt): Basis {
  const { last, leansOn } = turnsOf(prompt);
  if (leansOn === undefined) return { text: bounded(last, MOST_BASIS_UNITS), followUp: false };
  const room = MOST_BASIS_UNITS - last.length - BETWEEN.length;
  return { text: `${bounded(leansOn, room)}${BETWEEN}${last}`, followUp: true };
}

export interface Turns {
  /** What the user said last; empty when the user said nothing. */
  readonly last: string;
  /** The user's last turn before it that stands by itself; undefined when the last one does so too. */
  readonly leansOn: string | undefined;
}

export function turnsOf({ messages }: Prompt): Turns {
  const at = messages.findLastIndex(isTurn);
  const last = messages[at]?.text ?? '';
  if (at <= 0 || !leans(last)) return { last, leansOn: undefined };
  const earlier = messages.slice(0, at).filter(isTurn);
  return { last, leansOn: (earlier.findLast(({ text }) => !leans(text)) ?? earlier[0])?.text };
}

const isTurn = ({ role, text }: Message) => role === Role.ROLE_USER && text !== '';

function bounded(text: string, most: number): string {
  if (text.length <= most) return text;
  const tail = Math.floor(most * TAIL_PART);
  return text.slice(0, most - tail) + text.slice(-tail);
}
