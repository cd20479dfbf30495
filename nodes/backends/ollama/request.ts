/** A job in Ollama's terms. Pure. */
import type { ChatRequest, Options } from 'ollama';
import type { Message } from '../../../proto/gen/infermesh/v1/types.ts';
import { Role } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Job } from '../backend.ts';
import type { Failure } from '../job-run.ts';
import { failure } from '../job-run.ts';
import { readSchema } from '../json-schema.ts';

/** What every request for a loaded model must say alike: Ollama loads a model anew when one of `runner` changes. */
export interface Standing {
  /** As Ollama calls it. */
  readonly model: string;
  readonly keepAlive: string;
  readonly runner: Pick<Partial<Options>, 'num_ctx' | 'num_gpu' | 'num_thread'>;
  /** Of the model's own; a request's stop strings would put them out of force. */
  readonly stop: readonly string[];
  readonly thinks: boolean;
}

/** The library's type does not know these two yet; Ollama does since 0.12.6. */
export type Chat = ChatRequest & { readonly stream: true; readonly truncate: false; readonly shift: false };

export function chatOf(job: Job, standing: Standing): Chat | Failure {
  if (job.delivered) return failure('STREAM_NOT_RESUMABLE', 'Ollama cannot go on behind the beginning of an answer');
  const held = formatOf(job.jsonSchema);
  if ('type' in held) return held;
  return {
    ...chatBase(standing, job.messages.map(messageOf)),
    options: { ...standing.runner, ...samplingOf(job), num_predict: job.maxTokens, ...stopsOf(job, standing) },
    ...held,
  };
}

export function chatBase({ model, keepAlive, thinks }: Standing, messages: ChatRequest['messages']) {
  return {
    model,
    messages: messages ?? [],
    stream: true,
    // Without these a prompt that is too long is cut in silence, and an answer forgets its question.
    truncate: false,
    shift: false,
    keep_alive: durationOf(keepAlive),
    // The mesh has no place for what a model thinks, and its tokens would count as the answer's.
    ...(thinks ? { think: false } : {}),
  } as const;
}

/** Ollama reads a text as a duration with a unit, and a bare number only as a number. */
export function durationOf(keepAlive: string): string | number {
  return /^-?\d+$/.test(keepAlive) ? Number(keepAlive) : keepAlive;
}

const ROLES = { [Role.ROLE_SYSTEM]: 'system', [Role.ROLE_ASSISTANT]: 'assistant' } as const;

function messageOf({ role, text }: Message) {
  return { role: role in ROLES ? ROLES[role as keyof typeof ROLES] : 'user', content: text.toWellFormed() };
}

/**
 * Everything is said, or the defaults of Ollama and of the model's file would hold, such as temperature 0.8 and
 * repeat_penalty 1.1. These are the ones of nodes/backends/llama-cpp.ts.
 */
function samplingOf({ sampling }: Job): Partial<Options> {
  const {
    temperature = 0,
    topP = 0.95,
    topK = 40,
    minP = 0,
    repeatPenalty = 1,
    frequencyPenalty = 0,
    presencePenalty = 0,
  } = sampling;
  return {
    temperature,
    top_p: topP,
    top_k: topK,
    min_p: minP,
    repeat_penalty: repeatPenalty,
    frequency_penalty: frequencyPenalty,
    presence_penalty: presencePenalty,
    ...(sampling.seed === undefined ? {} : { seed: sampling.seed }),
  };
}

function stopsOf({ stop }: Job, standing: Standing): Pick<Partial<Options>, 'stop'> {
  return stop.length === 0 ? {} : { stop: [...new Set([...standing.stop, ...stop])] };
}

/** Keywords that the grammar of llama.cpp's server, which Ollama uses, passes over. */
const PASSED_OVER = ['minProperties', 'maxProperties'];

function formatOf(jsonSchema: string): { readonly format?: object } | Failure {
  if (jsonSchema === '') return {};
  const read = readSchema(jsonSchema);
  if ('type' in read) return read;
  const stray = PASSED_OVER.find((keyword) => mentions(read.schema, keyword));
  return stray ? failure('UNSUPPORTED', `json_schema: ${stray} is not supported with Ollama`) : { format: read.schema };
}

/** Names of properties and definitions are the user's own, and no keywords. */
const NAMED_PARTS = ['properties', '$defs'];

function mentions(schema: unknown, keyword: string): boolean {
  if (typeof schema !== 'object' || schema === null) return false;
  return Object.entries(schema).some(([key, value]) => {
    const parts = NAMED_PARTS.includes(key) ? Object.values(value as object) : [value];
    return key === keyword || parts.some((part) => mentions(part, keyword));
  });
}
