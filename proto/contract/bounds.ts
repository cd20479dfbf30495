/**
 * The bounds of everything a client may send, as stated in proto/infermesh/v1/inference.proto, and the check at the
 * edge: a request out of bounds is refused with each field, its bound and what came (never a text itself).
 */
import { z } from 'zod';
import type { ChatRequest, FeedbackRequest, ResumeRequest } from '../gen/infermesh/v1/inference.ts';
import { CacheMode, Priority } from '../gen/infermesh/v1/inference.ts';
import { Role, Tier } from '../gen/infermesh/v1/types.ts';
import type { Violation } from './faults.ts';
import { invalid } from './faults.ts';

export const MAX_TEXT_BYTES = 1_048_576;
export const MAX_SCHEMA_BYTES = 65_536;
export const MODEL_NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;
export const NODE_ID = /^[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?$/;
export const NODE_ID_BOUND = '1 to 64 lower-case letters, digits and .-';
/** The model name that leaves the choice to the router. */
export const AUTO_MODEL = 'auto';
export const DEFAULT_MAX_TOKENS = 512;
export const MOST_TOKENS = 131_072;
/** Of an answer that another router is to go on with. */
export const MAX_DELIVERED_BYTES = 4 << 20;
/** As many as fit into the fields and items of one request; behind a longer answer its text alone is sent. */
export const MOST_DELIVERED_IDS = 12_288;

const PRINTABLE = /^[\x21-\x7e]{0,128}$/;
const LABEL_NAME = /^[A-Za-z0-9._/-]{1,64}$/;

export const bytesOf = (text: string) => Buffer.byteLength(text);
const within = (low: number, high: number) =>
  z
    .number({ error: `must be from ${low} to ${high}` })
    .min(low)
    .max(high);
export const whole = (low: number, high: number) => within(low, high).int(`must be a whole number from ${low} to ${high}`);
// Half of a surrogate pair cannot be sent; encoders would put U+FFFD in its place and say nothing.
export const text = z.string().refine((value) => value.isWellFormed(), 'must be well-formed Unicode, without lone surrogates');
export const bytes = (low: number, high: number) =>
  text.refine((text) => bytesOf(text) >= low && bytesOf(text) <= high, `must be of ${low} to ${high.toLocaleString('en')} bytes`);
const printable = z.string().regex(PRINTABLE, 'must be up to 128 printable ASCII characters');

const sampling = z.object({
  temperature: within(0, 2).optional(),
  topP: z
    .number({ error: 'must be over 0, up to 1' })
    .gt(0, 'must be over 0, up to 1')
    .max(1, 'must be over 0, up to 1')
    .optional(),
  topK: whole(1, 1000).optional(),
  minP: within(0, 1).optional(),
  repeatPenalty: within(0.1, 2).optional(),
  frequencyPenalty: within(-2, 2).optional(),
  presencePenalty: within(-2, 2).optional(),
  seed: whole(0, 4_294_967_295).optional(),
});

const weight = within(0, 1);

/** A day. */
const MOST_CACHED_SECONDS = 86_400;

const chat = z.object({
  messages: z
    .array(
      z.object({
        role: z.literal(
          [Role.ROLE_SYSTEM, Role.ROLE_USER, Role.ROLE_ASSISTANT],
          'must be ROLE_SYSTEM, ROLE_USER or ROLE_ASSISTANT',
        ),
        text,
      }),
    )
    .min(1, 'must be 1 to 1,024 messages')
    .max(1024, 'must be 1 to 1,024 messages')
    .refine((all) => all.reduce((sum, { text }) => sum + bytesOf(text), 0) <= MAX_TEXT_BYTES, {
      error: `must have at most ${MAX_TEXT_BYTES.toLocaleString('en')} bytes of text together`,
    })
    .refine((all) => all.length === 0 || all.some(({ role, text }) => role === Role.ROLE_USER && text.length > 0), {
      error: 'must have at least one ROLE_USER message with a text that is not empty',
    }),
  target: z
    .discriminatedUnion('$case', [
      z.object({
        $case: z.literal('model'),
        value: z.string().regex(MODEL_NAME, 'must be "auto" or a name of up to 128 letters, digits and ._:-'),
      }),
      z.object({
        $case: z.literal('tier'),
        value: z.literal([Tier.TIER_FAST, Tier.TIER_BALANCED, Tier.TIER_QUALITY, Tier.TIER_CLOUD], {
          error: 'must be TIER_FAST, TIER_BALANCED, TIER_QUALITY or TIER_CLOUD',
        }),
      }),
    ])
    .optional(),
  sampling: sampling.optional(),
  maxTokens: whole(1, MOST_TOKENS).optional(),
  stop: z.array(bytes(1, 256)).max(16, 'must be at most 16 strings'),
  jsonSchema: bytes(0, MAX_SCHEMA_BYTES).refine(isObjectOrEmpty, 'must be a JSON object'),
  cache: z
    .object({
      mode: z.literal(
        [
          CacheMode.CACHE_MODE_UNSPECIFIED,
          CacheMode.CACHE_MODE_BYPASS,
          CacheMode.CACHE_MODE_REFRESH,
          CacheMode.CACHE_MODE_ONLY_IF_CACHED,
        ],
        { error: 'must be CACHE_MODE_BYPASS, CACHE_MODE_REFRESH, CACHE_MODE_ONLY_IF_CACHED or nothing' },
      ),
      ttlSeconds: whole(1, MOST_CACHED_SECONDS).optional(),
    })
    .optional(),
  preference: z
    .object({ cost: weight, quality: weight, latency: weight, diversity: weight })
    .refine((p) => p.cost + p.quality + p.latency + p.diversity > 0, 'must have at least one weight over 0')
    .optional(),
  limits: z
    .object({
      maxCostUsd: within(0, 1_000_000).optional(),
      maxLatencyMs: whole(1, 3_600_000).optional(),
      maxFirstTokenMs: whole(1, 3_600_000).optional(),
      minQuality: within(0, 1).optional(),
    })
    .optional(),
  zones: z.array(bytes(1, 128)).max(16, 'must be at most 16'),
  priority: z.literal(
    [Priority.PRIORITY_UNSPECIFIED, Priority.PRIORITY_LOW, Priority.PRIORITY_NORMAL, Priority.PRIORITY_HIGH],
    'must be PRIORITY_LOW, PRIORITY_NORMAL or PRIORITY_HIGH',
  ),
  sessionId: printable,
  idempotencyKey: printable,
  labels: z
    .record(z.string(), text)
    .refine((labels) => Object.keys(labels).length <= 16, 'must be at most 16')
    .refine((labels) => Object.keys(labels).every((name) => LABEL_NAME.test(name)), {
      error: 'must have names of 1 to 64 letters, digits and ._-/',
    })
    .refine((labels) => Object.values(labels).every((value) => bytesOf(value) <= 256), 'must have values of up to 256 bytes'),
});

const delivered = z
  .object({
    model: z.string().regex(MODEL_NAME, 'must be a name of up to 128 letters, digits and ._:-'),
    tokenizerDigest: printable,
    tokens: whole(0, MOST_TOKENS),
    text: bytes(0, MAX_DELIVERED_BYTES),
    // Looked at as a whole: a schema for each of 131,072 would cost more than all the rest.
    tokenIds: z.array(z.unknown()),
  })
  .refine(({ tokenIds, tokens }) => tokenIds.length === 0 || tokenIds.length === tokens, {
    error: 'must be none, or as many as delivered.tokens',
    path: ['tokenIds'],
  });

const resume = z
  .object({
    chat,
    delivered,
  })
  .refine(({ chat, delivered }) => delivered.tokens <= (chat.maxTokens ?? DEFAULT_MAX_TOKENS), {
    error: 'must be at most max_tokens',
    path: ['delivered', 'tokens'],
  });

const feedback = z
  .object({
    requestId: z.string().regex(/^[\x21-\x7e]{1,128}$/, 'must be 1 to 128 printable ASCII characters'),
    rating: weight.optional(),
    groundedness: weight.optional(),
    recall: weight.optional(),
    readability: weight.optional(),
  })
  .refine(({ requestId: _, ...figures }) => Object.values(figures).some((figure) => figure !== undefined), {
    error: 'must be given, or one of groundedness, recall and readability',
    path: ['rating'],
  });

/** @throws Fault INVALID_REQUEST with every violation */
export function checkChat(request: ChatRequest): ChatRequest {
  return checked(chat, request);
}

/** @throws Fault INVALID_REQUEST with every violation */
export function checkFeedback(request: FeedbackRequest): FeedbackRequest {
  return checked(feedback, request);
}

/** @throws Fault INVALID_REQUEST with every violation */
export function checkResume(request: ResumeRequest): Required<ResumeRequest> {
  const { chat, delivered } = request;
  if (chat && delivered) return checked(resume, { chat, delivered });
  const missing = Object.entries({ chat, delivered }).filter(([, value]) => value === undefined);
  throw invalid(missing.map(([field]) => ({ field, description: 'must be given, received nothing' })));
}

/** @throws Fault INVALID_REQUEST with every violation */
export function checked<Request extends object>(schema: z.ZodType, request: Request): Request {
  const result = schema.safeParse(request);
  if (!result.success) throw invalid(result.error.issues.map((issue) => violationOf(issue, request)));
  return request;
}

function isObjectOrEmpty(text: string): boolean {
  if (text === '') return true;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly code?: string;
  readonly minimum?: number | bigint;
  readonly maximum?: number | bigint;
}

function violationOf(issue: Issue, request: object): Violation {
  // The .proto knows no field "target", only the members of that oneof.
  const at = issue.path.indexOf('target');
  const target = valueAt(request, issue.path.slice(0, at + 1)) as ChatRequest['target'];
  const path = at === -1 ? issue.path : [...issue.path.slice(0, at), target?.$case ?? 'target'];
  return { field: fieldName(path), description: `${boundOf(issue)}, received ${received(valueAt(request, issue.path))}` };
}

/** zod words the bounds of plain numbers itself; say them as the .proto does. */
function boundOf(issue: Issue): string {
  if (issue.message.startsWith('must')) return issue.message;
  if (issue.maximum !== undefined) return `must be at most ${issue.maximum}`;
  if (issue.minimum !== undefined) return `must be at least ${issue.minimum}`;
  return 'must be of the declared type';
}

/** The path as in the .proto file: sampling.top_p, messages[3].role, model. */
function fieldName(path: readonly PropertyKey[]): string {
  let name = '';
  for (const step of path) {
    if (typeof step === 'number') name += `[${step}]`;
    else name += `${name ? '.' : ''}${String(step).replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;
  }
  return name || '(message)';
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const step of path) value = (value as Record<PropertyKey, unknown> | undefined)?.[step];
  return value;
}

/** Numbers as they are; of anything that may hold the user's text, only the size. */
function received(value: unknown): string {
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') return value === '' ? 'an empty string' : `${bytesOf(value).toLocaleString('en')} bytes`;
  if (Array.isArray(value)) {
    const text = value.reduce((sum: number, item: { text?: string }) => sum + bytesOf(item?.text ?? ''), 0);
    return `${value.length.toLocaleString('en')}${text > 0 ? ` with ${text.toLocaleString('en')} bytes` : ''}`;
  }
  if (typeof value === 'object' && value !== null) return `${Object.keys(value).length} entries`;
  return 'nothing';
}
