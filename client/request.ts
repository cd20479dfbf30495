/** A chat request as a program writes it, and the message it becomes. */
import { checkChat } from '../proto/contract/bounds.ts';
import type { Limits, Preference } from '../proto/gen/infermesh/v1/inference.ts';
import { CacheMode, ChatRequest, Priority } from '../proto/gen/infermesh/v1/inference.ts';
import type { Sampling } from '../proto/gen/infermesh/v1/types.ts';
import { Role, Tier } from '../proto/gen/infermesh/v1/types.ts';

const ROLES = { system: Role.ROLE_SYSTEM, user: Role.ROLE_USER, assistant: Role.ROLE_ASSISTANT } as const;
const PRIORITIES = { low: Priority.PRIORITY_LOW, normal: Priority.PRIORITY_NORMAL, high: Priority.PRIORITY_HIGH } as const;
const CACHE_MODES = {
  bypass: CacheMode.CACHE_MODE_BYPASS,
  refresh: CacheMode.CACHE_MODE_REFRESH,
  'only-if-cached': CacheMode.CACHE_MODE_ONLY_IF_CACHED,
} as const;
const TIERS = { fast: Tier.TIER_FAST, balanced: Tier.TIER_BALANCED, quality: Tier.TIER_QUALITY, cloud: Tier.TIER_CLOUD } as const;

export interface ChatMessage {
  readonly role: keyof typeof ROLES;
  readonly text: string;
}

/** What may come from the router's cache and go into it; what is absent is up to the router's policy. */
export interface CacheInput {
  /** Neither read nor write; generate anew and replace; answer from the cache or fail with NOT_CACHED. */
  readonly mode?: keyof typeof CACHE_MODES;
  /** How long the answer may be used again. */
  readonly ttlSeconds?: number;
  /** Whether an answer that is neither greedy (temperature 0) nor seeded may be used again. */
  readonly sampled?: boolean;
  /** Whether the answer to another prompt that means the same will do. */
  readonly semantic?: boolean;
  /** A cached answer comes as fast as it was generated, not all at once. */
  readonly paced?: boolean;
}

export interface ChatInput {
  /** The conversation; a plain text is one user message. */
  readonly messages: string | readonly ChatMessage[];
  /** A model's name; absent or 'auto': the router chooses. Not together with `tier`. */
  readonly model?: string;
  readonly tier?: keyof typeof TIERS;
  readonly sampling?: Sampling;
  readonly maxTokens?: number;
  readonly stop?: readonly string[];
  /** A JSON Schema that the answer must satisfy. */
  readonly jsonSchema?: object;
  /** What matters: each 0 to 1, absent ones 0. Without it the router's policy decides. */
  readonly preference?: Partial<Preference>;
  /** What may not be exceeded, as the router expects it when it chooses. */
  readonly limits?: Limits;
  /** Zones that may answer; absent: all. */
  readonly zones?: readonly string[];
  /** Keeps the request out of the router's exploration. */
  readonly withoutExploration?: boolean;
  /** Which of your requests wait shorter for a slot; absent: normal. */
  readonly priority?: keyof typeof PRIORITIES;
  readonly cache?: CacheInput;
  readonly sessionId?: string;
  readonly idempotencyKey?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** @throws Fault INVALID_REQUEST, as the router would, before an encoder can bend what was given into its range */
export function chatRequest(input: ChatInput): ChatRequest {
  const { messages, model, tier, jsonSchema, stop, zones, preference, priority, cache, ...rest } = input;
  const turns = typeof messages === 'string' ? [{ role: 'user', text: messages } as const] : messages;
  const target = tier
    ? ({ $case: 'tier', value: TIERS[tier] } as const)
    : model
      ? ({ $case: 'model', value: model } as const)
      : undefined;
  const request = ChatRequest.fromPartial({
    ...rest,
    messages: turns.map(({ role, text }) => ({ role: ROLES[role], text })),
    stop: [...(stop ?? [])],
    zones: [...(zones ?? [])],
    jsonSchema: jsonSchema ? JSON.stringify(jsonSchema) : '',
    ...(target ? { target } : {}),
    ...(preference ? { preference } : {}),
    ...(priority ? { priority: PRIORITIES[priority] } : {}),
    ...(cache ? { cache: { ...cache, mode: cache.mode && CACHE_MODES[cache.mode] } } : {}),
  });
  return checkChat(request);
}
