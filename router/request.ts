/** A chat request after the edge: checked, classified, with its defaults and the policy that applies to it. */
import { randomUUID } from 'node:crypto';
import { AUTO_MODEL, checkChat, DEFAULT_MAX_TOKENS } from '../proto/contract/bounds.ts';
import { Fault, invalid } from '../proto/contract/faults.ts';
import type { Prefix } from '../proto/contract/prefix.ts';
import { prefixesOf } from '../proto/contract/prefix.ts';
import type { ChatRequest } from '../proto/gen/infermesh/v1/inference.ts';
import { clampDeadline } from '../proto/transport/deadline.ts';
import type { CallContext } from '../proto/transport/handlers.ts';
import type { Classifier } from './classify/classification.ts';
import { sizeOf } from './classify/size.ts';
import type { Clock } from './clock.ts';
import type { Policies } from './policy-file.ts';
import type { Ask, Target } from './select/candidate.ts';
import type { Policy } from './select/policy.ts';
import { policyFor } from './select/policy.ts';
import type { Callers } from './trust/callers.ts';

/** What it asks of whoever answers it; found once, however often a waiting request is looked at. */
export type Needs = Pick<
  Ask,
  'target' | 'classification' | 'promptBytes' | 'promptTokens' | 'expectedOutputTokens' | 'structured' | 'policy' | 'seed'
>;

export interface Identified {
  readonly id: string;
  readonly chat: ChatRequest;
  /** From the credential; undefined for everybody. */
  readonly tenant: string | undefined;
  /** Of the conversation, the tenant's own; undefined when the client names none. */
  readonly session: string | undefined;
  readonly needs: Needs;
  /** Of the conversation, for whoever has it in a KV cache. */
  readonly prefixes: readonly Prefix[];
  readonly maxTokens: number;
  readonly arrivedAt: number;
  /** By the router's clock. */
  readonly deadlineAt: number;
}

export interface Identifier {
  readonly clock: Clock;
  readonly random: () => number;
  readonly classifier: Classifier;
  readonly policies: Policies;
  readonly callers: Pick<Callers, 'tenantOf' | 'knownTenant'>;
}

export function newRequestId(): string {
  return randomUUID();
}

/**
 * @param shed throws what refuses the request before it costs anything; called with its tenant
 * @throws Fault UNAUTHENTICATED, FORBIDDEN, INVALID_REQUEST or DEADLINE_EXCEEDED
 */
export function identify(
  id: string,
  chat: ChatRequest,
  context: CallContext,
  parts: Identifier,
  shed: (tenant: string | undefined) => void = () => {},
): Identified {
  const tenant = parts.callers.tenantOf(context);
  checkChat(chat);
  const budgetMs = clampDeadline(context.remainingMs);
  if (budgetMs <= 0) throw new Fault('DEADLINE_EXCEEDED', 'the deadline had passed when the request arrived');
  shed(tenant);
  const arrivedAt = parts.clock.now();
  const maxTokens = chat.maxTokens ?? DEFAULT_MAX_TOKENS;
  const needs = needsOf(chat, policyOf(chat, parts.policies.policyFor(tenant)), maxTokens, parts);
  return {
    id,
    chat,
    tenant,
    session: sessionOf(chat, tenant),
    needs,
    prefixes: prefixesOf(chat.messages),
    maxTokens,
    arrivedAt,
    deadlineAt: arrivedAt + budgetMs,
  };
}

function sessionOf({ sessionId }: ChatRequest, tenant = ''): string | undefined {
  // No session id has a space, so no two tenants' sessions meet.
  return sessionId === '' ? undefined : `${tenant} ${sessionId}`;
}

export function targetOf({ target }: ChatRequest): Target {
  if (!target || (target.$case === 'model' && target.value === AUTO_MODEL)) return { type: 'auto' };
  return target.$case === 'model' ? { type: 'model', name: target.value } : { type: 'tier', tier: target.value };
}

function policyOf({ preference, limits, zones }: ChatRequest, policy: Policy): Policy {
  const own = policyFor(policy, { preference, limits, zones });
  if (own) return own;
  const description = `must name a zone that the policy permits (${policy.zones.join(', ')}), received ${zones.length} others`;
  throw invalid([{ field: 'zones', description }]);
}

function needsOf(chat: ChatRequest, policy: Policy, maxTokens: number, { classifier, random }: Identifier): Needs {
  const classification = classifier.classify({ messages: chat.messages, jsonSchema: chat.jsonSchema });
  return {
    target: targetOf(chat),
    classification,
    ...sizeOf(chat.messages),
    expectedOutputTokens: Math.max(1, Math.min(maxTokens, classification.expectedOutputTokens)),
    structured: chat.jsonSchema !== '',
    policy,
    seed: Math.floor(random() * 2 ** 32),
  };
}
