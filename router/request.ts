/** A chat request after the edge: checked, classified, with its defaults and the policy that applies to it. */
import { randomUUID } from 'node:crypto';
import { AUTO_MODEL, checkChat, DEFAULT_MAX_TOKENS } from '../proto/contract/bounds.ts';
import { Fault, invalid } from '../proto/contract/faults.ts';
import type { Prefix } from '../proto/contract/prefix.ts';
import { prefixesOf } from '../proto/contract/prefix.ts';
import type { ChatRequest } from '../proto/gen/infermesh/v1/inference.ts';
import { clampDeadline } from '../proto/transport/deadline.ts';
import type { CallContext } from '../proto/transport/handlers.ts';
import type { RequestObserver, RequestWatch } from '../telemetry/events.ts';
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

/** Before anything of it was looked into that costs more than reading it. */
export interface Arrived {
  readonly id: string;
  readonly chat: ChatRequest;
  /** From the credential; undefined for everybody. */
  readonly tenant: string | undefined;
  readonly target: Target;
  readonly policy: Policy;
  readonly maxTokens: number;
  readonly arrivedAt: number;
  /** By the router's clock. */
  readonly deadlineAt: number;
}

export interface Identified extends Arrived {
  /** Of the conversation, the tenant's own; undefined when the client names none. */
  readonly session: string | undefined;
  readonly needs: Needs;
  /** Of the conversation, for whoever has it in a KV cache. */
  readonly prefixes: readonly Prefix[];
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

/** @throws Fault UNAUTHENTICATED, FORBIDDEN, INVALID_REQUEST or DEADLINE_EXCEEDED */
export function arrive(
  id: string,
  chat: ChatRequest,
  context: CallContext,
  { callers, clock, policies }: Pick<Identifier, 'callers' | 'clock' | 'policies'>,
): Arrived {
  const tenant = callers.tenantOf(context);
  checkChat(chat);
  const budgetMs = budgetOf(context);
  const arrivedAt = clock.now();
  return {
    id,
    chat,
    tenant,
    target: targetOf(chat),
    policy: policyOf(chat, policies.policyFor(tenant)),
    maxTokens: chat.maxTokens ?? DEFAULT_MAX_TOKENS,
    arrivedAt,
    deadlineAt: arrivedAt + budgetMs,
  };
}

/** Milliseconds that a request may take. @throws Fault DEADLINE_EXCEEDED */
export function budgetOf({ remainingMs }: CallContext): number {
  const budgetMs = clampDeadline(remainingMs);
  if (budgetMs <= 0) throw new Fault('DEADLINE_EXCEEDED', 'the deadline had passed when the request arrived');
  return budgetMs;
}

/** Follows a request by what its call shows before it is let in. @param method full name of the RPC */
export function watchOf(
  requestId: string,
  method: string,
  context: CallContext,
  { observer, callers }: { readonly observer: RequestObserver; readonly callers: Pick<Callers, 'knownTenant'> },
): RequestWatch {
  const traceparent = context.metadata('traceparent');
  const tenant = callers.knownTenant(context);
  return observer.watch({
    requestId,
    method,
    ...(traceparent === undefined ? {} : { traceparent }),
    ...(tenant === undefined ? {} : { tenant }),
  });
}

/** What takes a look at all of the prompt. */
export function identify(arrived: Arrived, parts: Pick<Identifier, 'classifier' | 'random'>): Identified {
  const { chat, tenant } = arrived;
  return { ...arrived, session: sessionOf(chat, tenant), needs: needsOf(arrived, parts), prefixes: prefixesOf(chat.messages) };
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

function needsOf(
  { chat, target, policy, maxTokens }: Arrived,
  { classifier, random }: Pick<Identifier, 'classifier' | 'random'>,
): Needs {
  const classification = classifier.classify({ messages: chat.messages, jsonSchema: chat.jsonSchema });
  return {
    target,
    classification,
    ...sizeOf(chat.messages),
    expectedOutputTokens: Math.max(1, Math.min(maxTokens, classification.expectedOutputTokens)),
    structured: chat.jsonSchema !== '',
    policy,
    seed: Math.floor(random() * 2 ** 32),
  };
}
