/**
 * What a server's refusal means. Pure. Servers quote the prompt in their messages, so that of those only numbers and
 * what is known by name go on.
 */
import type { Failure } from '../job-run.ts';
import { failure } from '../job-run.ts';
import type { Headers } from '../retry-after.ts';
import { retryAfterOf, UNREACHABLE_MS } from '../retry-after.ts';

export interface Refusal {
  readonly failure: Failure;
  /** For how long the server is given less, in milliseconds; absent where it is not a matter of time. */
  readonly restMs?: number | undefined;
  /** The parameter that the server does not know or permit, where it is one that a request can do without. */
  readonly parameter?: string | undefined;
  /** The prompt is too long, or prompt and `max_tokens` together are. */
  readonly tooLong?: boolean | undefined;
}

export interface RefusedResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** What is asked for the sake of a better answer or a better count, and is left out where a server refuses it. */
export const OPTIONAL_PARAMETERS: readonly string[] = [
  ...['temperature', 'top_p', 'top_k', 'min_p', 'repetition_penalty', 'repeat_penalty', 'frequency_penalty', 'presence_penalty'],
  ...['seed', 'stream_options', 'return_token_ids', 'timings_per_token', 'max_tokens'],
];

/** Where it does not say for how long it takes no more. */
const DEFAULT_REST_MS = 1_000;
/** A quota that is used up does not come back in a second. */
const NO_CREDIT_MS = 60_000;

/** @param now milliseconds since 1970, for a `retry-after` that is a date */
export function refusalOf(response: RefusedResponse, now: number): Refusal {
  const { status, body } = response;
  const error = errorIn(body);
  if (status === 408 || status === 429 || status === 503 || status === 529) {
    const retryAfterMs = retryAfterOf(response.headers, now) ?? (error.code === 'insufficient_quota' ? NO_CREDIT_MS : undefined);
    const restMs = retryAfterMs ?? DEFAULT_REST_MS;
    const message = `the server takes no more for now (HTTP ${status}); it may be asked again in ${Math.ceil(restMs / 1000)} s`;
    return { failure: failure('QUEUE_FULL', message, retryAfterMs), restMs };
  }
  if (status === 401 || status === 403) {
    return {
      failure: failure('ENGINE_FAILED', `the server refuses the API key, or wants one (HTTP ${status}): see --openai-key-file`),
    };
  }
  if (status === 404) return { failure: failure('MODEL_NOT_FOUND', 'the server does not have the model (HTTP 404)') };
  // llama-server has 500 for texts that are too long to make vectors of.
  if (status >= 400 && isTooLong(error)) return { failure: tooLong(error), tooLong: true };
  // What answers for a server that is not there.
  if (status === 502 || status === 504) {
    return { failure: failure('DRAINING', `the server is not there (HTTP ${status})`, UNREACHABLE_MS), restMs: UNREACHABLE_MS };
  }
  if (status >= 500) return { failure: failure('ENGINE_CRASHED', `the server failed (HTTP ${status})`) };
  if (status >= 300 && status < 400) {
    return { failure: failure('ENGINE_FAILED', `the server is at another address (HTTP ${status}): see --openai-url`) };
  }
  return refusalOfRequest(status, error);
}

function refusalOfRequest(status: number, error: ErrorFields): Refusal {
  if (status === 413) return { failure: tooLong(error), tooLong: true };
  const parameter = refusedParameter(error);
  if (parameter !== undefined) {
    return {
      failure: failure('UNSUPPORTED', `the server does not take ${parameter} as it was given (HTTP ${status})`),
      parameter,
    };
  }
  if (/schema|response_format|guided|grammar|structured/i.test(`${error.param} ${error.code} ${error.message}`)) {
    return { failure: failure('UNSUPPORTED', `the server cannot hold an answer to this JSON schema (HTTP ${status})`) };
  }
  const known = /^[a-z][a-z0-9_]{0,39}$/.test(error.code) ? `, ${error.code}` : '';
  return { failure: failure('ENGINE_FAILED', `the server refused the request (HTTP ${status}${known})`) };
}

/** At the beginning alone: behind it a message may quote the prompt, whose author is not to switch parameters off. */
const REFUSED_BY_MESSAGE =
  /^(?:Unknown|Unsupported|Unrecognized) (?:request )?(?:parameter|argument|value)s?(?: supplied)?: ['"`]?(\w+)/i;

function refusedParameter({ param, message }: ErrorFields): string | undefined {
  const named = param || REFUSED_BY_MESSAGE.exec(message)?.[1];
  return OPTIONAL_PARAMETERS.find((name) => name === named);
}

/** An error object in the middle of a stream, whose status was sent before. */
export function failureInStream(given: unknown): Failure {
  const error = fieldsOf(given);
  if (isTooLong(error)) return tooLong(error);
  const status = error.status || 500;
  if (status === 429 || status === 503) return failure('QUEUE_FULL', `the server gave the answer up (${status})`);
  if (status >= 500) return failure('ENGINE_CRASHED', `the server failed in the middle of the answer (${status})`);
  return failure('ENGINE_FAILED', `the server broke the answer off (${status})`);
}

interface ErrorFields {
  readonly message: string;
  readonly code: string;
  readonly param: string;
  readonly status: number;
  /** llama-server's. */
  readonly promptTokens: number | undefined;
  readonly contextTokens: number | undefined;
}

/** `{"error": {...}}` as a rule, `{"error": "..."}` of some, `{"detail": [...]}` of FastAPI's validation. */
function errorIn(body: string): ErrorFields {
  try {
    const { error, detail, ...rest } = JSON.parse(body) as Record<string, unknown>;
    return fieldsOf(error ?? (detail === undefined ? rest : ofValidation(detail)));
  } catch {
    return fieldsOf({ message: body });
  }
}

/** FastAPI says where in the body its first problem is. */
function ofValidation(detail: unknown): object {
  const [first] = Array.isArray(detail) ? (detail as { loc?: unknown; msg?: unknown }[]) : [];
  const place = Array.isArray(first?.loc) ? first.loc : [];
  return { message: first?.msg ?? detail, param: place.length === 2 ? place[1] : undefined };
}

function fieldsOf(given: unknown): ErrorFields {
  const error = (typeof given === 'object' && given !== null ? given : { message: given }) as Record<string, unknown>;
  const word = (value: unknown) => (typeof value === 'string' ? value : '');
  const number = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) ? value : undefined);
  return {
    message: word(error.message),
    code: word(error.code) || word(error.type),
    param: word(error.param),
    status: number(error.code) ?? number(error.status) ?? 0,
    promptTokens: number(error.n_prompt_tokens),
    contextTokens: number(error.n_ctx),
  };
}

const TOO_LONG_CODES = ['context_length_exceeded', 'exceed_context_size_error'];
const TOO_LONG =
  /context (?:length|size|window)|maximum (?:input|model) length|max_new_tokens.{0,40}must be|too large to process|input is too long/i;

function isTooLong({ code, message }: ErrorFields): boolean {
  return TOO_LONG_CODES.includes(code) || TOO_LONG.test(message);
}

/** In order: those of the prompt alone come first. */
const PROMPT_TOKENS = [
  /^input \((\d+) tokens\)/,
  /(\d+) in the (?:messages|prompt)/,
  /(?:prompt contains|at least) (\d+) input tokens/,
  /(?:resulted in|request has|request \() ?(\d+) (?:input )?tokens/,
  /Given: (\d+) `inputs` tokens/,
  /(?:requested|received) (\d+) tokens/,
];
const CONTEXT_TOKENS = [/(?:context (?:length|size|window)) (?:is |of )?(?:only )?\(?(\d+)/, /must be <=? ?(\d+)/];

function tooLong({ message, promptTokens, contextTokens }: ErrorFields): Failure {
  const prompt = promptTokens ?? firstNumber(PROMPT_TOKENS, message);
  const most = contextTokens ?? firstNumber(CONTEXT_TOKENS, message);
  const has = prompt === undefined ? 'has more tokens than the model takes' : `has ${prompt} tokens`;
  return failure('CONTEXT_TOO_LONG', `the prompt ${has}${most === undefined ? '' : ` and the model takes ${most} at most`}`);
}

function firstNumber(patterns: readonly RegExp[], message: string): number | undefined {
  const found = patterns.map((pattern) => pattern.exec(message)?.[1]).find((each) => each !== undefined);
  return found === undefined || found.length > 12 ? undefined : Number(found);
}
