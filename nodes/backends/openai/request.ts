/** A job as a request of the Chat Completions API, in the words of the server that it goes to. Pure. */
import type { Message, Sampling } from '../../../proto/gen/infermesh/v1/types.ts';
import { Role } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Job } from '../backend.ts';

/** Who answers: what the servers understand beyond what OpenAI's own does. */
export type Dialect = 'vllm' | 'llama-server' | 'llama-cpp-python' | 'tgi' | 'other';

/** How a server wants a JSON schema. */
export type SchemaForm = 'json_schema' | 'tgi' | 'json_object';

/** What is known of the server when a request is made. */
export interface Form {
  readonly dialect: Dialect;
  /** What the server calls the model. */
  readonly model: string;
  readonly contextLength: number;
  readonly schemaForm: SchemaForm | undefined;
  /** Parameters that the server has refused. */
  readonly refused: ReadonlySet<string>;
}

/** What OpenAI's API has no parameter for, as each dialect calls it. */
const EXTRA: Readonly<Record<Dialect, Readonly<Partial<Record<keyof Sampling, string>>>>> = {
  vllm: { topK: 'top_k', minP: 'min_p', repeatPenalty: 'repetition_penalty' },
  'llama-server': { topK: 'top_k', minP: 'min_p', repeatPenalty: 'repeat_penalty' },
  'llama-cpp-python': { topK: 'top_k', minP: 'min_p', repeatPenalty: 'repeat_penalty' },
  tgi: {},
  other: {},
};

const COMMON: Readonly<Partial<Record<keyof Sampling, string>>> = {
  topP: 'top_p',
  frequencyPenalty: 'frequency_penalty',
  presencePenalty: 'presence_penalty',
  seed: 'seed',
};

/** Counts tokens exactly, where the server can. */
const COUNTING: Readonly<Record<Dialect, object>> = {
  vllm: { stream_options: { include_usage: true, continuous_usage_stats: true }, return_token_ids: true },
  'llama-server': { stream_options: { include_usage: true }, timings_per_token: true },
  'llama-cpp-python': { stream_options: { include_usage: true } },
  tgi: { stream_options: { include_usage: true } },
  other: { stream_options: { include_usage: true } },
};

const ROLES: Readonly<Partial<Record<Role, string>>> = {
  [Role.ROLE_SYSTEM]: 'system',
  [Role.ROLE_ASSISTANT]: 'assistant',
};

/** Which schema forms may be worth a try, the likeliest first. */
export function schemaFormsOf(dialect: Dialect): readonly SchemaForm[] {
  if (dialect === 'tgi') return ['tgi', 'json_schema'];
  return dialect === 'llama-cpp-python' ? ['json_object'] : ['json_schema', 'json_object'];
}

/** The end of a delivered text that a chat template would cut off; the answer has to begin with it again. */
export function blankEnd(delivered: string): string {
  return delivered.slice(delivered.trimEnd().length);
}

/** @param limited whether the server is told `maxTokens`, see sendsLimit */
export function chatRequest(job: Job, form: Form, limited: boolean): Record<string, unknown> {
  const { model, dialect, refused } = form;
  const request: Record<string, unknown> = {
    model,
    messages: job.messages.map(messageOf),
    stream: true,
    // As the engines of this project: what nothing is said of is answered greedily.
    temperature: job.sampling.temperature ?? 0,
    ...(limited ? limitOf(job, form) : {}),
    ...samplingOf(job.sampling, dialect),
    ...COUNTING[dialect],
    ...schemaOf(job.jsonSchema, form.schemaForm),
    ...(job.delivered ? goingOn(job, job.delivered.text) : {}),
  };
  for (const name of refused) delete request[name];
  return request;
}

/** @returns what was asked for and the server has no parameter for, in the words of the .proto */
export function unsupportedSampling(sampling: Sampling, { dialect, refused }: Form): string[] {
  const names = { ...COMMON, ...EXTRA[dialect], temperature: 'temperature' };
  return (Object.keys(sampling) as (keyof Sampling)[])
    .filter((key) => sampling[key] !== undefined && (names[key] === undefined || refused.has(names[key])))
    .map((key) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
}

/**
 * Servers refuse a limit that prompt and answer together could not keep within the context. A token has at least one
 * byte, so that a limit is sent where it fits for certain; else the server goes on to the context's end, and whoever
 * reads the answer stops at the limit.
 */
export function sendsLimit({ messages, maxTokens, delivered }: Job, { contextLength }: Pick<Form, 'contextLength'>): boolean {
  const bytes = messages.reduce((sum, { text }) => sum + Buffer.byteLength(text) + TEMPLATE_TOKENS, TEMPLATE_TOKENS);
  return bytes + Buffer.byteLength(delivered?.text ?? '') + maxTokens <= contextLength;
}

/** What a chat template puts around a message, and around them all. */
const TEMPLATE_TOKENS = 32;

function limitOf(job: Job, form: Form): object {
  const { tokens = 0, text = '' } = job.delivered ?? {};
  // Blanks at its end are to be said again; who reads the answer stops at the limit.
  const left = Math.max(1, job.maxTokens - tokens + blankEnd(text).length);
  // The newer name is the one that OpenAI's reasoning models want, and the older one what everybody knows.
  return form.refused.has('max_tokens') ? { max_completion_tokens: left } : { max_tokens: left };
}

function messageOf({ role, text }: Message): object {
  return { role: ROLES[role] ?? 'user', content: text.toWellFormed() };
}

function samplingOf(sampling: Sampling, dialect: Dialect): object {
  const named = Object.entries({ ...COMMON, ...EXTRA[dialect] }) as [keyof Sampling, string][];
  return Object.fromEntries(named.filter(([key]) => sampling[key] !== undefined).map(([key, name]) => [name, sampling[key]]));
}

function schemaOf(jsonSchema: string, form: SchemaForm | undefined): object {
  if (jsonSchema === '' || form === undefined) return {};
  const schema: unknown = JSON.parse(jsonSchema);
  const named = { name: 'answer', schema };
  switch (form) {
    case 'json_schema':
      return { response_format: { type: 'json_schema', json_schema: { ...named, strict: true } } };
    case 'tgi':
      return { response_format: { type: 'json_schema', value: named } };
    case 'json_object':
      return { response_format: { type: 'json_object', schema } };
  }
}

/** vLLM's: the template is not to close the last message, nor to begin another. */
function goingOn({ messages }: Job, delivered: string): object {
  return {
    messages: [...messages.map(messageOf), { role: 'assistant', content: delivered.trimEnd() }],
    continue_final_message: true,
    add_generation_prompt: false,
  };
}
