/** A line of a batch's file, in the project's own form or in OpenAI's, as an item of the mesh. */
import { z } from 'zod';
import type { BatchItem, ChatInput, EmbedInput } from '../../client/index.ts';
import { UsageError } from '../usage.ts';

/** Bounds are the router's to check; here a field only has to be of its type. */
const text = z.string('must be a text');
const number = z.number('must be a number');
const texts = z.union([text, z.array(text)], 'must be a text or a list of texts');
const content = z.union(
  [text, z.array(z.strictObject({ type: z.literal('text'), text }))],
  'must be a text, or a list of parts of the type text',
);
const message = z
  .strictObject({
    role: z.enum(['system', 'developer', 'user', 'assistant'], 'must be system, developer, user or assistant'),
    content: content.optional(),
    text: text.optional(),
  })
  .refine((one) => (one.content === undefined) !== (one.text === undefined), 'must have one of content and text');
const messages = z.array(message, 'must be a list of messages');
const schema = z.record(z.string(), z.unknown(), 'must be a JSON object');

/** What both forms call by the same name. */
const sampling = {
  temperature: number.optional(),
  top_p: number.optional(),
  seed: number.optional(),
  frequency_penalty: number.optional(),
  presence_penalty: number.optional(),
  stop: texts.nullish(),
};

const chatLine = z.strictObject({
  id: z.union([text, number]).optional(),
  prompt: text.optional(),
  system: text.optional(),
  messages: messages.optional(),
  model: text.optional(),
  tier: z.enum(['fast', 'balanced', 'quality', 'cloud'], 'must be fast, balanced, quality or cloud').optional(),
  max_tokens: number.optional(),
  json_schema: schema.optional(),
  priority: z.enum(['low', 'normal', 'high'], 'must be low, normal or high').optional(),
  session: text.optional(),
  ...sampling,
});

const embedLine = z.strictObject({
  id: z.union([text, number]).optional(),
  text: text.optional(),
  texts: z.array(text, 'must be a list of texts').optional(),
  model: text.optional(),
  refresh: z.boolean('must be true or false').optional(),
});

/** Fields that change nothing of an answer that comes as a whole. */
const WITHOUT_EFFECT = ['user', 'metadata', 'store', 'service_tier', 'stream', 'stream_options', 'safety_identifier'] as const;
const ignored = Object.fromEntries(WITHOUT_EFFECT.map((name) => [name, z.unknown().optional()]));

const format = z.discriminatedUnion(
  'type',
  [
    z.object({ type: z.literal('text') }),
    z.object({ type: z.literal('json_object') }),
    z.object({ type: z.literal('json_schema'), json_schema: z.object({ schema }) }),
  ],
  'must be of the type text, json_object or json_schema',
);

const chatBody = z.strictObject({
  model: text.optional(),
  messages,
  max_tokens: number.nullish(),
  max_completion_tokens: number.nullish(),
  n: z.literal(1, 'must be 1').optional(),
  response_format: format.optional(),
  ...sampling,
  ...ignored,
});

const embedBody = z.strictObject({
  model: text.optional(),
  input: texts,
  encoding_format: z.literal('float', 'must be float').optional(),
  ...ignored,
});

const openAiLine = z.strictObject({
  custom_id: text,
  method: z.literal('POST', 'must be POST').optional(),
  url: z.enum(['/v1/chat/completions', '/v1/embeddings'], 'must be /v1/chat/completions or /v1/embeddings'),
  body: schema,
});

export type Form = 'own' | 'openai';

export interface RequestLine {
  readonly form: Form;
  readonly item: BatchItem;
}

/** Under what name a line's outcome stands, as far as can be told; `line-N` where it names none. */
export function idOf(value: Readonly<Record<string, unknown>> | undefined, number: number): string {
  const id = value?.custom_id ?? value?.id;
  return typeof id === 'string' || typeof id === 'number' ? String(id) : `line-${number}`;
}

/** @param model who answers, whatever the line says @throws UsageError that names field and bound, and quotes nothing */
export function requestLine(value: Readonly<Record<string, unknown>>, number: number, model?: string): RequestLine {
  const id = idOf(value, number);
  const named = model === undefined ? {} : { model };
  if ('custom_id' in value) return { form: 'openai', item: { id, ...openAi(value), ...named } };
  if (!('text' in value || 'texts' in value)) return { form: 'own', item: { id, ...ownChat(value), ...named } };
  const { text, texts, id: _, ...rest } = checked(embedLine, value);
  return { form: 'own', item: { id, ...given(rest), texts: texts ?? [text as string], ...named } };
}

function ownChat(value: Readonly<Record<string, unknown>>): ChatInput {
  const {
    id: _,
    prompt,
    system,
    messages,
    model,
    tier,
    max_tokens,
    json_schema,
    priority,
    session,
    ...rest
  } = checked(chatLine, value);
  if ((prompt === undefined) === (messages === undefined)) {
    throw new UsageError('must have one of prompt, messages, text and texts');
  }
  const said = messages ? turns(messages) : [{ role: 'user' as const, text: prompt as string }];
  return {
    messages: system === undefined ? said : [{ role: 'system', text: system }, ...said],
    ...given({ model, tier, priority, maxTokens: max_tokens, sessionId: session, jsonSchema: json_schema }),
    ...samplingOf(rest),
  };
}

function openAi(value: Readonly<Record<string, unknown>>): ChatInput | EmbedInput {
  const { url, body } = checked(openAiLine, value);
  if (url === '/v1/embeddings') {
    const { model, input } = checked(embedBody, body, 'body.');
    return { texts: [input].flat(), ...given({ model }) };
  }
  const { model, messages, max_tokens, max_completion_tokens, response_format, ...rest } = checked(chatBody, body, 'body.');
  const jsonSchema = response_format && SCHEMAS[response_format.type](response_format as never);
  const maxTokens = max_completion_tokens ?? max_tokens ?? undefined;
  return { messages: turns(messages), ...given({ model, maxTokens, jsonSchema }), ...samplingOf(rest) };
}

const SCHEMAS = {
  text: () => undefined,
  json_object: () => ({ type: 'object' }),
  json_schema: ({ json_schema }: { readonly json_schema: { readonly schema: object } }) => json_schema.schema,
} as const;

function turns(said: z.infer<typeof messages>): Exclude<ChatInput['messages'], string> {
  return said.map(({ role, content, text }) => ({
    role: role === 'developer' ? 'system' : role,
    text: Array.isArray(content) ? content.map((part) => part.text).join('') : (content ?? text ?? ''),
  }));
}

type SamplingFields = { readonly [Field in keyof typeof sampling]?: unknown };

function samplingOf({ temperature, top_p, seed, frequency_penalty, presence_penalty, stop }: SamplingFields) {
  const sampling = {
    temperature,
    topP: top_p,
    seed,
    frequencyPenalty: frequency_penalty,
    presencePenalty: presence_penalty,
  } as NonNullable<ChatInput['sampling']>;
  return { sampling, ...given({ stop: stop == null ? undefined : ([stop].flat() as string[]) }) };
}

/** Without the fields that are not there. */
function given<T extends object>(fields: T): { [Field in keyof T]?: Exclude<T[Field], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}

/** @throws UsageError */
function checked<T extends z.ZodType>(type: T, value: unknown, before = ''): z.infer<T> {
  const result = type.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues as [z.core.$ZodIssue];
  const field = issue.path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
    .replace(/^\./, '');
  if (issue.code === 'unrecognized_keys')
    throw new UsageError(`${before}${field && `${field}.`}${issue.keys[0]} is not supported here`);
  throw new UsageError(
    `${before}${field} ${issue.message.startsWith('must') ? issue.message : 'must be given, and of its type'}`,
  );
}
