/** A chat request after the edge: checked, with its defaults, and the reasons for which it may be cut short. */
import { randomUUID } from 'node:crypto';
import { AUTO_MODEL, checkChat, DEFAULT_MAX_TOKENS } from '../proto/contract/bounds.ts';
import { Fault } from '../proto/contract/faults.ts';
import type { ChatRequest } from '../proto/gen/infermesh/v1/inference.ts';
import { clampDeadline } from '../proto/transport/deadline.ts';
import type { CallContext } from '../proto/transport/handlers.ts';
import { sizeOf } from './classify/size.ts';
import { taskOf } from './classify/task.ts';
import type { Clock } from './clock.ts';
import type { Ask, Target } from './select/candidate.ts';

/** What it asks of whoever answers it; found once, however often a waiting request is looked at. */
export type Needs = Omit<Ask, 'remainingMs'>;

export interface Identified {
  readonly id: string;
  readonly chat: ChatRequest;
  readonly needs: Needs;
  readonly maxTokens: number;
  readonly arrivedAt: number;
  /** By the router's clock. */
  readonly deadlineAt: number;
}

export function newRequestId(): string {
  return randomUUID();
}

/** @throws Fault INVALID_REQUEST or DEADLINE_EXCEEDED */
export function identify(id: string, chat: ChatRequest, context: CallContext, clock: Clock): Identified {
  checkChat(chat);
  const budgetMs = clampDeadline(context.remainingMs);
  if (budgetMs <= 0) throw new Fault('DEADLINE_EXCEEDED', 'the deadline had passed when the request arrived');
  const arrivedAt = clock.now();
  const maxTokens = chat.maxTokens ?? DEFAULT_MAX_TOKENS;
  return { id, chat, needs: needsOf(chat, maxTokens), maxTokens, arrivedAt, deadlineAt: arrivedAt + budgetMs };
}

function targetOf({ target }: ChatRequest): Target {
  if (!target || (target.$case === 'model' && target.value === AUTO_MODEL)) return { type: 'auto' };
  return target.$case === 'model' ? { type: 'model', name: target.value } : { type: 'tier', tier: target.value };
}

export function needsOf(chat: ChatRequest, maxTokens: number): Needs {
  return {
    target: targetOf(chat),
    task: taskOf(chat.messages),
    ...sizeOf(chat.messages, maxTokens),
    structured: chat.jsonSchema !== '',
  };
}

/** What selection has to know of it now. */
export function askOf({ needs, deadlineAt }: Identified, now: number): Ask {
  return { ...needs, remainingMs: deadlineAt - now };
}
