/**
 * What two requests must have in common to have one answer, as bytes that are equal exactly then. Every text stands
 * behind its length, so that nothing moves from one field into the next.
 *
 * Of a request that is what its model reads and how the next token is drawn, and nothing of who asks, when, how urgently
 * or in which session.
 */
import { DEFAULT_MAX_TOKENS } from '../proto/contract/bounds.ts';
import type { CachedModel } from '../proto/gen/infermesh/v1/cache.ts';
import type { ChatRequest } from '../proto/gen/infermesh/v1/inference.ts';
import type { Sampling } from '../proto/gen/infermesh/v1/types.ts';
import { Role } from '../proto/gen/infermesh/v1/types.ts';
import { canonicalJson } from './canonical-json.ts';

/** Of the requests' package: a field with another meaning is another package. */
const API_VERSION = 'infermesh.v1';

const DRAWN_BY = [
  'temperature',
  'topP',
  'topK',
  'minP',
  'repeatPenalty',
  'frequencyPenalty',
  'presencePenalty',
  'seed',
] as const satisfies (keyof Sampling)[];

type Part = string | number | Uint8Array | undefined;

/** Everything that determines the answer of a model that is known. */
export function canonicalChat(chat: ChatRequest): Uint8Array {
  return content('chat', [...conversation(chat.messages), ...drawing(chat)]);
}

/**
 * Of the answer that one model gives.
 * @param canonical of canonicalChat @param model the engine and its version stand for the prompt's template
 */
export function answerContent(canonical: Uint8Array, model: CachedModel): Uint8Array {
  return content('answer', [model.name, model.digest, model.engine, model.engineVersion, canonical]);
}

/**
 * Of the choice of a model.
 * @param canonical of canonicalChat @param target which models the request asks for @param wishes what else the choice
 * depends on; both of what JSON can say
 */
export function choiceContent(canonical: Uint8Array, target: unknown, wishes: unknown): Uint8Array {
  return content('choice', [canonicalJson(target), canonicalJson(wishes), canonical]);
}

/**
 * All but the text of the last user message: what two prompts that mean the same must have in common besides.
 * @param answerer of modelContent or openContent: the model, or what its choice depends on
 */
export function scopeContent(chat: ChatRequest, answerer: Uint8Array): Uint8Array {
  const hole = chat.messages.findLastIndex(({ role }) => role === Role.ROLE_USER);
  return content('scope', [answerer, hole, ...conversation(chat.messages, hole), ...drawing(chat)]);
}

/** For scopeContent, where the model is known. */
export function modelContent({ name, digest, engine, engineVersion }: CachedModel): Uint8Array {
  return content('model', [name, digest, engine, engineVersion]);
}

/** For scopeContent, where the model is left to the router. */
export function openContent(target: unknown, wishes: unknown): Uint8Array {
  return content('open', [canonicalJson(target), canonicalJson(wishes)]);
}

function conversation(messages: ChatRequest['messages'], hole = -1): Part[] {
  return [messages.length, ...messages.flatMap(({ role, text }, index) => [role, index === hole ? undefined : text])];
}

/** An absent figure is the model's own default, which no number stands for. */
function drawing({ sampling, maxTokens, stop, jsonSchema }: ChatRequest): Part[] {
  // In whichever order they come, the first that comes up ends the answer.
  const stops = [...new Set(stop)].toSorted();
  return [
    ...DRAWN_BY.map((figure) => sampling?.[figure]),
    maxTokens ?? DEFAULT_MAX_TOKENS,
    stops.length,
    ...stops,
    jsonSchema === '' ? undefined : canonicalSchema(jsonSchema),
  ];
}

/** One that is nested too deep is itself. */
function canonicalSchema(text: string): string {
  try {
    return canonicalJson(JSON.parse(text));
  } catch {
    return `as it came: ${text}`;
  }
}

const ABSENT = 0;
const NUMBER = 1;
const TEXT = 2;
const BYTES = 3;
const HEAD_BYTES = 5;
const NUMBER_BYTES = 9;

function content(what: string, parts: readonly Part[]): Uint8Array {
  const all: readonly Part[] = [API_VERSION, what, ...parts];
  const out = Buffer.allocUnsafe(all.reduce<number>((sum, part) => sum + sizeOf(part), 0));
  let at = 0;
  for (const part of all) at = write(out, at, part);
  return out;
}

function sizeOf(part: Part): number {
  if (part === undefined) return 1;
  if (typeof part === 'number') return NUMBER_BYTES;
  return HEAD_BYTES + Buffer.byteLength(part);
}

/** @returns the position behind it */
function write(out: Buffer, at: number, part: Part): number {
  if (part === undefined) return out.writeUInt8(ABSENT, at);
  // -0 draws what 0 draws.
  if (typeof part === 'number') return out.writeDoubleBE(part + 0, out.writeUInt8(NUMBER, at));
  const length = Buffer.byteLength(part);
  const begin = out.writeUInt32BE(length, out.writeUInt8(typeof part === 'string' ? TEXT : BYTES, at));
  if (typeof part === 'string') out.write(part, begin);
  else out.set(part, begin);
  return begin + length;
}
